"""Find the daemon that runs here and what it reports."""
