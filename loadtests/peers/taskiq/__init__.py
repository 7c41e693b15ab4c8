"""The peer taskiq: its jobs, its settings, its locked environment."""
