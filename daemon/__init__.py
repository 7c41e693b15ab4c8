"""The process: command line, settings, logs and embedded servers."""
