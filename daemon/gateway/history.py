"""A chat's history out of the journal, for the caller who asks."""

from itertools import islice
from typing import Final

from sqlalchemy import Connection

from daemon.audit.history import ChatHistory, HistoryLine
from daemon.audit.opening_state import fetch_opening_states
from daemon.errors import HistoryError
from daemon.gateway.authorization import WHOLE
from daemon.gateway.errors import ProblemError
from daemon.gateway.postgres_reader import PostgresReader
from daemon.gateway.queries import ChatView
from persistence.postgres.reader import fetch_policies, journal_of_user
from persistence.redis.commit import read_policy

ACCOUNT_EVENTS: Final = ("wallet.", "credits.")
"""What happens to the account is not an advisor's to know."""


class HistoryReader:
    """Tells stories, a page at a time."""

    def __init__(self, records: PostgresReader) -> None:
        """Ask ``records``."""
        self._records = records

    async def lines(self, chat_id: str, seen: ChatView, begin: int, most: int) -> list[HistoryLine]:
        """So many lines, from the one numbered ``begin`` on. Raises ProblemError."""

        def question(connection: Connection) -> list[HistoryLine]:
            policies = {k: read_policy(v) for k, v in fetch_policies(connection).items()}
            imported = fetch_opening_states(connection, seen.user_id)
            history = ChatHistory(chat_id, seen.user_id, policies, imported)
            told = history.lines(journal_of_user(connection, seen.user_id))
            mine = (line for line in told if _may_see(line, seen))
            return list(islice(mine, begin, begin + most))

        try:
            return await self._records.ask(question)
        except HistoryError as error:
            raise ProblemError(
                500, "story_broken", f"the journal can't be folded: {error}"
            ) from None


def _may_see(line: HistoryLine, seen: ChatView) -> bool:
    return seen.view == WHOLE or not line.event.startswith(ACCOUNT_EVENTS)
