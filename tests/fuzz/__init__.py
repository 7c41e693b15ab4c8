"""Coverage-guided fuzzing (atheris) of what reads foreign bytes: entries, tokens, cursors."""
