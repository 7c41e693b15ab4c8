"""The processes of one daemon: servers, engine, gateway, Ray."""
