"""The peer dramatiq: its jobs, its settings, its locked environment."""
