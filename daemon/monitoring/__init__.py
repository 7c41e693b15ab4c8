"""What a person is told when something is wrong: alarms, and what to do."""
