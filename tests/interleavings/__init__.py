"""Random interleavings: the daemon's parts below Ray, stepped through a real server's round trips.

``make interleavings SEEDS=100000`` plays many; ``INTERLEAVING_SEED=… make test ARGS="-k play"``
plays one again. ``python -m tests.interleavings.guards`` shows what each guard of the library is
good for.
"""
