"""Redis: the command stream, the commit function, snapshots, the outbox."""
