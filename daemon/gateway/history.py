"""A chat's story out of the journal, for the caller who asks."""

from itertools import islice
from typing import Final

from sqlalchemy import Connection

from daemon.audit.history import Line, Story, StoryError, read_policy
from daemon.audit.opening_state import fetch_brought
from daemon.gateway.authorization import WHOLE
from daemon.gateway.errors import Problem
from daemon.gateway.postgres_reader import Records
from daemon.gateway.queries import Seen
from persistence.postgres.reader import fetch_policies, journal_of_user

ACCOUNT_EVENTS: Final = ("wallet.", "credits.")
"""What happens to the account is not an advisor's to know."""


class History:
    """Tells stories, a page at a time."""

    def __init__(self, records: Records) -> None:
        """Ask ``records``."""
        self._records = records

    async def lines(self, chat_id: str, seen: Seen, begin: int, most: int) -> list[Line]:
        """So many lines, from the one numbered ``begin`` on. Raises Problem."""

        def question(connection: Connection) -> list[Line]:
            policies = {k: read_policy(v) for k, v in fetch_policies(connection).items()}
            brought = fetch_brought(connection, seen.user_id)
            story = Story(chat_id, seen.user_id, policies, brought)
            told = story.tell(journal_of_user(connection, seen.user_id))
            mine = (line for line in told if _may_see(line, seen))
            return list(islice(mine, begin, begin + most))

        try:
            return await self._records.ask(question)
        except StoryError as error:
            raise Problem(500, "story_broken", f"the journal can't be folded: {error}") from None


def _may_see(line: Line, seen: Seen) -> bool:
    return seen.view == WHOLE or not line.event.startswith(ACCOUNT_EVENTS)
