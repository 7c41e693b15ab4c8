"""Builds the client's wheel, with METERD_COMPILE=1 with the rules compiled.

The modules are the same source: mypyc compiles it. What msgspec decodes is left out, because a
compiled class has no annotations.
"""

import os

from setuptools import setup

RULES = [
    "billing",
    "deadlines",
    "events",
    "exhaustion",
    "fold",
    "free_time",
    "handlers",
    "money",
    "snapshots",
    "transitions",
]

modules = []
if os.environ.get("METERD_COMPILE") == "1":
    from mypyc.build import mypycify

    paths = [f"meterd/rules/{name}.py" for name in RULES]
    modules = mypycify(paths, group_name="meterd_rules", debug_level="0")

setup(ext_modules=modules)
