"""Commits on their way to Redis: many in a round trip, each with a result of its own."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import redis

from meterd.rules.redis_keys import Keys
from persistence.redis.client import is_server_trouble
from persistence.redis.commit import ERROR, CommitResult, Limits, pack_limits, parse_result
from persistence.redis.functions import function_name

COMMITS_MAX: Final = 64
BYTES_MAX: Final = 512 * 1024
"""What one call takes at most: while it runs, nobody else is served."""


class Committer:
    """The right to commit, as one actor under one epoch."""

    def __init__(
        self, client: redis.Redis, keys: Keys, actor: str, epoch: str, limits: Limits
    ) -> None:
        """Commit through ``client``."""
        self._client = client
        self._late_head = (function_name("late"), 1, keys.commands, actor, epoch)
        name = function_name("commit_all")
        self._head = (name, 1, keys.commands, actor, epoch, pack_limits(limits))

    def commit(self, commits: Sequence[bytes]) -> list[CommitResult]:
        """Commit in one round trip; commits that fail together are tried again one by one.

        Raises:
            redis.RedisError: the server is away or unable; what was committed is not known.
        """
        groups = list(groups_of(commits))
        answers = self._call(groups)
        results: list[CommitResult] = []
        for group, answer in zip(groups, answers, strict=True):
            results += self._results(group, answer)
        return results

    def skipped(self, past: Sequence[tuple[str, str]]) -> set[str] | None:
        """Which of these entries (ID and idempotency key) have never had their effect.

        None if this actor may not write any more. Their accounts are past them; one that has had
        its effect and waits all the same, after the group was made again, is acknowledged.
        """
        found: set[str] = set()
        for first in range(0, len(past), COMMITS_MAX):
            page = past[first : first + COMMITS_MAX]
            flat = [part for pair in page for part in pair]
            answers: Any = self._client.fcall(*self._late_head, *flat)
            if answers is None:
                return None
            found |= {
                entry for (entry, _), said in zip(page, answers, strict=True) if said == b"skipped"
            }
        return found

    def _call(self, groups: Sequence[Sequence[bytes]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for group in groups:
            pipeline.fcall(*self._head, *group)
        return pipeline.execute(raise_on_error=False)

    def _results(self, group: Sequence[bytes], answer: Any) -> list[CommitResult]:
        if not isinstance(answer, Exception):
            return [parse_result(one) for one in answer]
        if is_server_trouble(answer):
            raise answer
        if len(group) == 1:
            return [CommitResult(ERROR, (str(answer),))]
        return [self._results([one], self._call([[one]])[0])[0] for one in group]


def groups_of(commits: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Commits in the order they came, as many together as one call takes."""
    first = size = 0
    for i, packed in enumerate(commits):
        if i > first and (i - first == COMMITS_MAX or size + len(packed) > BYTES_MAX):
            yield commits[first:i]
            first, size = i, 0
        size += len(packed)
    if first < len(commits):
        yield commits[first:]
