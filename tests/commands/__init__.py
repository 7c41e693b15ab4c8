"""The command line, as a person at a terminal and a program in a pipe use it."""
