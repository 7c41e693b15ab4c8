"""The tables of the system before meterd: read, never written."""
