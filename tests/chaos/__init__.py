"""Chaos: kills, hangs, cuts off and fills up whatever meterd runs on, and checks every promise.

``make chaos`` runs it; ``python -m tests.chaos --help`` says how long, how and what it prints.
"""
