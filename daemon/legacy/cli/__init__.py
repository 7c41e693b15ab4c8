"""The commands ``meterd legacy ...``."""
