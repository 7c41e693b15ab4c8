"""A chat's history out of the journal, for the caller who asks."""

from itertools import islice
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from daemon.audit.history import ChatHistory, HistoryLine
from daemon.audit.opening_state import fetch_opening_states
from daemon.errors import HistoryError
from daemon.gateway.authorization import WHOLE
from daemon.gateway.errors import ProblemError
from daemon.gateway.postgres_reader import PostgresReader
from daemon.gateway.queries import ChatView
from persistence.postgres.archives import archives_of_chat
from persistence.postgres.reader import fetch_policies, journal_of_user
from persistence.redis.commit import read_policy

ACCOUNT_EVENTS: Final = ("wallet.", "credits.")
"""What happens to the account is not an advisor's to know."""


class HistoryLines(NamedTuple):
    """Some of a chat's history."""

    lines: list[HistoryLine]
    archived_until: int | None
    """The millisecond before which the journal was archived; None if none of the chat's was."""


NO_LINES: Final = HistoryLines([], None)
"""Of a chat that never started."""


class HistoryReader:
    """Reads histories, a page at a time."""

    def __init__(self, records: PostgresReader) -> None:
        """Ask ``records``."""
        self._records = records

    async def lines(self, chat_id: str, seen: ChatView, begin: int, most: int) -> HistoryLines:
        """So many lines, from the one numbered ``begin`` on. Raises ProblemError."""
        times = msgspec.json.decode(seen.snapshot, type=_Times)

        def question(connection: Connection) -> HistoryLines:
            policies = {k: read_policy(v) for k, v in fetch_policies(connection).items()}
            imported = fetch_opening_states(connection, seen.user_id)
            history = ChatHistory(chat_id, seen.user_id, policies, imported)
            told = history.lines(journal_of_user(connection, seen.user_id))
            mine = (line for line in told if _may_see(line, seen))
            archives = archives_of_chat(connection, times.started_at, times.ended_at)
            cut_ms = archives[-1].cut_ms if archives else None
            return HistoryLines(list(islice(mine, begin, begin + most)), cut_ms)

        try:
            return await self._records.ask(question)
        except HistoryError as error:
            raise ProblemError(
                500, "story_broken", f"the journal can't be folded: {error}"
            ) from None


class _Times(msgspec.Struct):
    """What a snapshot has of when the chat was open."""

    started_at: int | None = None
    ended_at: int | None = None


def _may_see(line: HistoryLine, seen: ChatView) -> bool:
    return seen.view == WHOLE or not line.event.startswith(ACCOUNT_EVENTS)
