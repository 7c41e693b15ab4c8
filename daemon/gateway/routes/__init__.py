"""What the gateway answers, by whom it is about."""
