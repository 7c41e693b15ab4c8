"""``meterd top``: the service at a glance, in a terminal."""
