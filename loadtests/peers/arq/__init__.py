"""The peer arq: its jobs, its settings, its locked environment."""
