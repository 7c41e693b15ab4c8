"""Forged ids of commands, and what is remembered of them."""

from collections.abc import Callable
from typing import Any

from tests.audit.conftest import System
from tests.audit.forging import Forgery, Told, copy, other_type
from tests.engine.harness import KEYS


def _id(id_: str, place: int, value: str) -> Callable[[System], object]:
    """A part of what is remembered of an id is another one: fingerprint, outcome, entry."""

    def change(system: System) -> None:
        raw: Any = system.client.get(KEYS.id(id_))
        parts = raw.decode().split(" ")
        parts[place] = value
        system.client.set(KEYS.id(id_), " ".join(parts), keepttl=True)

    return change


def _swap_ids(system: System) -> None:
    one: Any = system.client.get(KEYS.id("special-1"))
    other: Any = system.client.get(KEYS.id("special-2"))
    system.client.set(KEYS.id("special-1"), other, keepttl=True)
    system.client.set(KEYS.id("special-2"), one, keepttl=True)


_LOST_IDS: list[Told] = [("remembered_id", "calm", None)]
IDS = {
    "id-gone": Forgery(lambda s: s.client.delete(KEYS.id("special-0")), _LOST_IDS),
    "id-gone-of-a-start": Forgery(
        lambda s: s.client.delete(KEYS.id("special-1")), [("remembered_id", "calm", "calm.open")]
    ),
    "id-gone-of-nobody": Forgery(
        lambda s: s.client.delete(KEYS.id("special-8")), [("remembered_id", None, "nobody.s")]
    ),
    "id-fingerprint": Forgery(_id("special-0", 0, "0" * 24), _LOST_IDS),
    "id-outcome": Forgery(_id("special-0", 1, "exceeds_cost"), _LOST_IDS),
    "id-entry": Forgery(_id("special-0", 2, "5-5"), [*_LOST_IDS, ("unknown_id", None, None)]),
    "id-type": Forgery(other_type(KEYS.id("special-0")), [*_LOST_IDS, ("unknown_id", None, None)]),
    "id-empty": Forgery(
        lambda s: s.client.set(KEYS.id("special-0"), "", keepttl=True),
        [*_LOST_IDS, ("unknown_id", None, None)],
    ),
    "ids-swapped": Forgery(
        _swap_ids,
        [
            ("remembered_id", "calm", "calm.ended"),
            ("remembered_id", "calm", "calm.open"),
            ("unknown_id", None, None),
            ("unknown_id", None, None),
        ],
    ),
    "id-unknown": Forgery(
        copy(KEYS.id("special-0"), KEYS.id("forged")), [("unknown_id", None, None)]
    ),
    "id-unknown-without-entry": Forgery(
        lambda s: s.client.set(KEYS.id("forged"), "0 ok", px=10**8), [("unknown_id", None, None)]
    ),
    "id-forgotten-too-early": Forgery(
        lambda s: s.client.pexpire(KEYS.id("special-1"), 23 * 3_600_000),
        [("remembered_id", "calm", "calm.open")],
    ),
    "id-of-credits-forgotten-too-early": Forgery(
        lambda s: s.client.pexpire(KEYS.id("special-0"), 29 * 86_400_000), _LOST_IDS
    ),
    "id-for-ever": Forgery(lambda s: s.client.persist(KEYS.id("special-0")), _LOST_IDS),
}
