"""The audit: the journal folded again, and everything else compared with it."""
