"""Old epochs: collected while the run goes on, tried at its end."""

import contextlib
from typing import Any

import redis

from persistence.redis.commit import DONE, FENCED, CommandEffects, Commit, Limits, pack_commit
from persistence.redis.committer import Committer
from tests.load import KEYS

NO_ENTRY = "1-1"


class Epochs:
    """Every (actor, epoch) that was ever seen to have the right to write."""

    def __init__(self) -> None:
        """None so far."""
        self._seen: set[tuple[str, str]] = set()

    def look(self, client: redis.Redis) -> None:
        """Note who may write now."""
        with contextlib.suppress(redis.RedisError):
            self._seen |= _current(client)

    def stale_writers(self, client: redis.Redis) -> list[str]:
        """Those whose time is over and whom the commit function would let write.

        The commit that is tried changes nothing: its entry is not pending.
        """
        old = sorted(self._seen - _current(client))
        return [f"{actor} {epoch}" for actor, epoch in old if not _is_fenced(client, actor, epoch)]

    def __len__(self) -> int:
        return len(self._seen)


def _current(client: redis.Redis) -> set[tuple[str, str]]:
    found: Any = client.hgetall(KEYS.epochs)
    return {(actor.decode(), epoch.decode()) for actor, epoch in found.items()}


def _is_fenced(client: redis.Redis, actor: str, epoch: str) -> bool:
    commit = Commit(
        user="", before="", state="", open=0, wallet="", chats=[],
        entries=[CommandEffects(NO_ENTRY)], events=[], payload="{}",
    )  # fmt: skip
    committer = Committer(client, KEYS, actor, epoch, Limits())
    kind = committer.commit([pack_commit(commit)])[0].kind
    assert kind in (FENCED, DONE), f"a commit that can have no effect: {kind}"
    return kind == FENCED
