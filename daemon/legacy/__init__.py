"""Migrating what the system before meterd has counted."""
