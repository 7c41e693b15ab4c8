"""Old epochs: collected while the run goes on, tried at its end."""

import contextlib
from typing import Any

import redis

from meterd.rules.redis_keys import Keys
from persistence.redis.commit import DONE, FENCED, CommandEffects, Commit, Limits, pack_commit
from persistence.redis.committer import Committer

KEYS = Keys()
NO_ENTRY = "1-1"


class Epochs:
    """Every (actor, epoch) that was ever seen to have the right to write."""

    def __init__(self, keys: Keys = KEYS) -> None:
        """None so far; of one partition."""
        self._keys = keys
        self._seen: set[tuple[str, str]] = set()

    def look(self, client: redis.Redis) -> None:
        """Note who may write now."""
        with contextlib.suppress(redis.RedisError):
            self._seen |= _current(client, self._keys)

    def stale_writers(self, client: redis.Redis) -> list[str]:
        """Those whose time is over and whom the commit function would let write.

        The commit that is tried changes nothing: its entry is not pending.
        """
        old = sorted(self._seen - _current(client, self._keys))
        return [
            f"{actor} {epoch}" for actor, epoch in old if not self._is_fenced(client, actor, epoch)
        ]

    def _is_fenced(self, client: redis.Redis, actor: str, epoch: str) -> bool:
        commit = Commit(
            user="", before="", state="", open=0, wallet="", chats=[],
            entries=[CommandEffects(NO_ENTRY)], events=[], payload="{}",
        )  # fmt: skip
        committer = Committer(client, self._keys, actor, epoch, Limits())
        kind = committer.commit([pack_commit(commit)])[0].kind
        assert kind in (FENCED, DONE), f"a commit that can have no effect: {kind}"
        return kind == FENCED

    def __len__(self) -> int:
        return len(self._seen)


def _current(client: redis.Redis, keys: Keys) -> set[tuple[str, str]]:
    found: Any = client.hgetall(keys.epochs)
    return {(actor.decode(), epoch.decode()) for actor, epoch in found.items()}
