"""The contract's worked examples, as data."""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from meterd.rules.model import Policy, Tariff
from meterd.rules.money import parse_micro

Example = dict[str, Any]

EXAMPLES: list[Example] = [
    json.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("*.json"))
]
assert len(EXAMPLES) >= 96, "the examples are part of the tests"


_SINCE_0_2 = ("free_scope", "increment_due", "idle_ms", "abandon_ms", "max_ms")
"""Settings that the older examples do not name."""


def policy_of(example: Example) -> Policy:
    """The operator's settings under which the example happens."""
    policy = example["policy"]
    tariff = Tariff(
        rate_micro=parse_micro(policy["rate"]),
        free_ms=policy["free_ms"],
        min_ms=policy["min_ms"],
        increment_ms=policy["increment_ms"],
        **{name: policy[name] for name in _SINCE_0_2 if name in policy},
    )
    return Policy(
        tariff=tariff,
        at_zero=policy["at_zero"],
        grace_ms=policy["grace_ms"],
        warn_ms=tuple(policy["warn_ms"]),
        open_chats_max=policy.get("open_chats_max", 100),
    )


def by_policy() -> list[list[Example]]:
    """The examples in groups that one daemon can play."""

    def key(example: Example) -> str:
        return str(example["policy"])

    return [list(group) for _, group in groupby(sorted(EXAMPLES, key=key), key)]


def flat_fields(fields: Mapping[str, str]) -> list[bytes]:
    """Fields as Redis hands them out: names and values in turn."""
    return [part.encode() for pair in fields.items() for part in pair]
