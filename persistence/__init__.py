"""What meterd keeps: Redis (queue, commit function, snapshots) and Postgres (records, ledger)."""
