"""Server-sent events: one place in the events stream, any number of readers."""
