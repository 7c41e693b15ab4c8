"""Builds the daemon's wheel, with METERD_COMPILE=1 with its busiest modules compiled.

The modules are the same source: mypyc compiles it. What msgspec decodes is left out, because a
compiled class has no annotations.
"""

import os

from setuptools import setup

COMPILED = [
    "actors/chat/account_batch.py",
    "actors/chat/commit_builder.py",
    "actors/chat/counting.py",
    "actors/chat/replies.py",
    "actors/chat/rows.py",
    "actors/chat/timers.py",
    "actors/chat/worker.py",
    "actors/supervisor/dispatch.py",
    "actors/supervisor/histogram.py",
    "actors/supervisor/in_flight_keys.py",
    "actors/supervisor/placement.py",
    "actors/supervisor/stats.py",
    "persistence/redis/committer.py",
]

modules = []
if os.environ.get("METERD_COMPILE") == "1":
    from mypyc.build import mypycify

    modules = mypycify(COMPILED, group_name="meterd_daemon", debug_level="0")

setup(ext_modules=modules)
