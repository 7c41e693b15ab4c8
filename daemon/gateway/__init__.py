"""The gateway: snapshots, streams and commands over HTTP. Needs Redis and Postgres only."""
