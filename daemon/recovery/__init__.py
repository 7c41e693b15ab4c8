"""Rebuild Redis from PostgreSQL."""
