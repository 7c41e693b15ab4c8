"""What old rows hold, and what becomes of them: the words in which old time is divided."""

from collections.abc import Sequence
from typing import Final, NamedTuple

LATEST: Final = "latest"
"""All to the chat that the record points to; the pair's others are known with zero."""
PROPORTIONAL: Final = "proportional"
"""By the chats' spans, by largest remainder."""
POLICIES: Final = (LATEST, PROPORTIONAL)

ACTIVE: Final = "active"
OLD_PAUSED: Final = "paused"
COMPLETED: Final = "completed"
STATUSES: Final = (ACTIVE, OLD_PAUSED, COMPLETED)

AMOUNT_MAX: Final = 10**15 - 1
"""9 digits of credits, in micro-credits."""
DURATION_MS_MAX: Final = 10**12 - 1

RECORD: Final = "record"
CHAT: Final = "chat"

UNREADABLE: Final = "unreadable_total"
NEGATIVE: Final = "negative_total"
OUT_OF_RANGE: Final = "total_out_of_range"
NO_CHAT: Final = "record_without_chat"
FOREIGN_CHAT: Final = "chat_of_another_pair"
DUPLICATE: Final = "duplicate_record"
BAD_CHAT_ID: Final = "chat_id_outside_alphabet"
BAD_USER_ID: Final = "user_id_outside_alphabet"
BAD_ADVISOR_ID: Final = "advisor_id_outside_alphabet"
NO_START: Final = "chat_without_start"
TAKEN: Final = "chat_id_taken"
USED: Final = "changed_since_it_was_used"
ASSIGNED: Final = "assigned"
REASONS: Final = (
    UNREADABLE, NEGATIVE, OUT_OF_RANGE, NO_CHAT, FOREIGN_CHAT, DUPLICATE,
    BAD_CHAT_ID, BAD_USER_ID, BAD_ADVISOR_ID, NO_START, TAKEN, USED, ASSIGNED,
)  # fmt: skip
"""Why something is set aside."""

CHAT_GONE: Final = "points_to_a_chat_that_is_gone"
POINTS_NOWHERE: Final = "points_to_no_chat"
ENDS_BEFORE_START: Final = "ends_before_its_start"
LONGER_THAN_ITS_SPAN: Final = "ran_longer_than_its_span"
NEVER_ENDED: Final = "chat_without_end"
NO_RECORD: Final = "chats_without_record"
UNKNOWN_STATUS: Final = "unknown_status"
RUNS_AFTER_END: Final = "runs_though_its_chat_has_ended"
"""What is odd and can be decided all the same."""


class OldRecord(NamedTuple):
    """A row of the old records. Times are milliseconds since 1970."""

    key: str
    user_id: str
    advisor_id: str
    chat_id: str | None
    status: str
    started_at: int | None
    ended_at: int | None
    last_resumed_at: int | None
    total_ms: int | None
    """Rounded to whole ones; None if it is no number."""
    cost_micro: int | None
    updated_at: int
    points_elsewhere: bool = False
    """Whether ``chat_id`` is a chat of another pair."""


class OldChat(NamedTuple):
    """A row of the old chats."""

    chat_id: str
    user_id: str
    advisor_id: str
    created_at: int | None
    ended_at: int | None


class Pair(NamedTuple):
    """All that is known of one user with one advisor."""

    user_id: str
    advisor_id: str
    records: Sequence[OldRecord]
    chats: Sequence[OldChat]


class ImportedChat(NamedTuple):
    """A chat that ended in the old system, as its record will be."""

    chat_id: str
    user_id: str
    advisor_id: str
    started_at: int
    ended_at: int
    active_ms: int
    cost_micro: int

    @property
    def paused_ms(self) -> int:
        """All other time."""
        return self.ended_at - self.started_at - self.active_ms


class Running(NamedTuple):
    """A chat that runs in the old system: its record is made when it is adopted, or has ended."""

    chat_id: str
    user_id: str
    advisor_id: str
    status: str
    """``active`` or ``paused``."""
    started_at: int
    since: int | None
    """Up to here ``carried_ms`` is counted, while it is active."""
    carried_ms: int
    carried_cost_micro: int


class Quarantined(NamedTuple):
    """What can't be decided; its amounts are counted, not lost."""

    kind: str
    """``record`` or ``chat``."""
    key: str
    reason: str
    total_ms: int
    cost_micro: int


class Anomaly(NamedTuple):
    """What is odd and was decided all the same."""

    anomaly: str
    key: str


class Split(NamedTuple):
    """What becomes of a pair."""

    imported: list[ImportedChat]
    running: list[Running]
    quarantined: list[Quarantined]
    anomalies: list[Anomaly]
