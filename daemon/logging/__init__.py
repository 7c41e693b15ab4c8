"""Log output, and what it never shows."""
