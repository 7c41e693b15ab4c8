"""The daemon's own output names each process that was lost, and its replacement, once.

The supervisor's log has more of it, but is a file that nobody watches.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import structlog

log = structlog.get_logger()

RECORDER: Final = "recorder"


class _Seen(NamedTuple):
    restarts: int
    is_lost: bool


_NEW: Final = _Seen(0, is_lost=False)


class LossLog:
    """Logs losses and replacements of actors and recorders, found in one status after another."""

    def __init__(self) -> None:
        """Nothing is lost."""
        self._seen: dict[str, _Seen] = {}

    def observe(self, status: Mapping[str, Any]) -> None:
        """Log what has changed since the status before; a loss may begin and end between two."""
        before, self._seen = self._seen, {}
        for name, process in _processes(status):
            was = before.get(name, _NEW)
            now = self._seen[name] = _Seen(process["restarts"], bool(process["replacing"]))
            kind = RECORDER if name == RECORDER else "actor"
            lost, replaced = f"{kind}.lost", f"{kind}.replaced"
            is_new_loss = not was.is_lost and (now.is_lost or now.restarts > was.restarts)
            if is_new_loss:
                why = process["replacing"]["why"] if now.is_lost else "see logs/supervisor.log"
                log.warning(lost, **{kind: name}, error=why)
            if not now.is_lost and (was.is_lost or is_new_loss):
                pid, restarts = process.get("pid"), now.restarts
                log.info(replaced, **{kind: name}, pid=pid, restarts=restarts)


def _processes(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All that can be replaced, by name; none in a status from before the work begins."""
    for actor in status.get("actors", ()):
        yield actor["name"], actor
    if "recorder" in status:
        yield RECORDER, status["recorder"]
