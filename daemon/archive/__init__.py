"""Closed months of the journal in files, and out of the database: ``meterd archive``."""
