"""What every command that prints to a terminal shares."""
