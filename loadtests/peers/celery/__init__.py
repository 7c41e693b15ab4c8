"""The peer celery: its jobs, its settings, its locked environment."""
