"""What runs where, and what a person should know about it: for ``meterd status`` and metrics."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from actors.supervisor.actor_handle import ActorHandle
from actors.supervisor.gauges import Gauges, OutboxBound
from actors.supervisor.placement import Placement
from actors.supervisor.replacement import Replacement

CHATS_SHOWN_MAX = 20
RECORDER: Final = "recorder"


class Health(NamedTuple):
    """What the state depends on once everything has started."""

    redis_troubles: Iterable[str]
    outbox: OutboxBound
    gauges: Gauges
    recorder: Mapping[str, Any]
    replacements: Mapping[str, Replacement]
    """What may be without its process, by its name; the recorder among them."""
    cluster_trouble: str = ""
    """What is wrong with the Ray cluster that this daemon has joined."""

    def condition(self) -> tuple[str, str]:
        """``ready`` or ``degraded``, and why."""
        trouble = next(filter(None, self.redis_troubles), "")
        if trouble:
            return "degraded", f"Redis: {trouble}"
        if self.outbox.is_overflowing():
            return "degraded", self.outbox.why()
        if self._is_long_without():
            return "degraded", "; ".join(self._warnings())
        return "ready", "; ".join(self._warnings())

    def _is_long_without(self) -> bool:
        """Whether commands wait because an actor is; those of the recorder do not."""
        return any(r.is_long for name, r in self.replacements.items() if name != RECORDER)

    def _warnings(self) -> list[str]:
        """What does not keep commands from being handled, and should not be."""
        found = [self.cluster_trouble] if self.cluster_trouble else []
        found += [r.describe(name) for name, r in self.replacements.items() if r.describe(name)]
        trouble = self.recorder.get("trouble", "")
        if trouble:
            found.append(f"Postgres: {trouble}; {self.gauges.outbox} commits wait for it")
        if self.outbox.is_full():
            found.append(self.outbox.why())
        if self.gauges.refused:
            found.append(f"Postgres has refused {self.gauges.refused} commits: meterd audit")
        return found


class ConditionSince:
    """Since when the state has been what it is."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._state = ""
        self._since_ms = 0

    def told(self, state: str, now_ms: int) -> int:
        """Since which millisecond it has been in this state, which it is in now."""
        if state != self._state:
            self._state, self._since_ms = state, now_ms
        return self._since_ms


def recovery_progress(handles: Iterable[ActorHandle], placement: Placement) -> dict[str, int]:
    """How many open chats have an actor that is up, of those that were found so far."""
    done = sum(placement.load(handle.name) for handle in handles if handle.is_up())
    return {"chats_done": done, "chats_total": placement.open_chats()}


def actor_status(handle: ActorHandle, placement: Placement, now_ms: int) -> dict[str, Any]:
    """One actor: its process, some of its chats, its trouble, its replacement.

    Asked for several times a second: what it takes must not grow with the number of chats.
    """
    return {
        "name": handle.name,
        "pid": handle.info.pid if handle.info else None,
        "node": handle.info.node if handle.info else None,
        "up": handle.is_up(),
        "restarts": handle.restarts,
        "trouble": handle.trouble,
        "replacing": handle.replacement.as_dict(now_ms),
        "waiting": handle.waiting(),
        "chats": placement.load(handle.name),
        "chat_ids": placement.first_on(handle.name, CHATS_SHOWN_MAX),
    }
