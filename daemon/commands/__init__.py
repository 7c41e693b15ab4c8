"""The commands for people, one file each. ``daemon.cli`` puts them together."""
