"""Postgres, for ever: tables, migrations, and exact writing and reading of what is billed."""
