"""Bringing over what the system before meterd has counted."""
