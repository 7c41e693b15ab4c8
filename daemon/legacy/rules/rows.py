"""What old rows hold, and what becomes of them: the words in which old time is divided."""

from collections.abc import Sequence
from typing import Final, NamedTuple

LATEST: Final = "latest"
"""All to the chat that the record points to; the pair's others are known with zero."""
PROPORTIONAL: Final = "proportional"
"""By the chats' spans, by largest remainder."""
CHAT_DURATION: Final = "chat_duration"
"""Each chat has its own duration, in a column of the chats; the cost goes by the time paid for."""
POLICIES: Final = (LATEST, PROPORTIONAL, CHAT_DURATION)

UNKNOWN: Final = "unknown"
"""The status of a record whose word no setting explains; else it runs, is paused or has ended."""

TRUST_CHATS: Final = "chats"
TRUST_RECORDS: Final = "records"
"""Whom to believe where the chats of a pair say more time than its records."""

AMOUNT_MAX: Final = 10**15 - 1
"""9 digits of credits, in micro-credits."""
DURATION_MS_MAX: Final = 10**12 - 1
MOMENT_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, the last one that can be stored."""

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
UNKNOWN_WORD: Final = "unknown_status_word"
BAD_RATE: Final = "rate_out_of_range"
CHATS_EXCEED: Final = "chats_exceed_records"
TAKEN: Final = "chat_id_taken"
USED: Final = "changed_since_it_was_used"
ASSIGNED: Final = "assigned"
TRUSTED: Final = "trusted"
REASONS: Final = (
    UNREADABLE, NEGATIVE, OUT_OF_RANGE, NO_CHAT, FOREIGN_CHAT, DUPLICATE, BAD_CHAT_ID, BAD_USER_ID,
    BAD_ADVISOR_ID, NO_START, UNKNOWN_WORD, BAD_RATE, CHATS_EXCEED, TAKEN, USED, ASSIGNED, TRUSTED,
)  # fmt: skip
"""Why something is set aside."""

CHAT_GONE: Final = "points_to_a_chat_that_is_gone"
POINTS_NOWHERE: Final = "points_to_no_chat"
ENDS_BEFORE_START: Final = "ends_before_its_start"
LONGER_THAN_ITS_SPAN: Final = "ran_longer_than_its_span"
NEVER_ENDED: Final = "chat_without_end"
NO_RECORD: Final = "chats_without_record"
RECORDS_EXCEED: Final = "records_exceed_chats"
NOTHING_PAID: Final = "credits_without_time_paid_for"
RUNS_AFTER_END: Final = "runs_though_its_chat_has_ended"
"""What is odd and can be decided all the same."""


class Division(NamedTuple):
    """How the rows of a pair are read and divided."""

    policy: str
    are_sessions: bool = False
    """Whether several records of one chat are sessions of it, which add up; else the latest one
    counts, and the others are set aside."""
    has_ends: bool = True
    """Whether any column says when a chat ended."""
    has_chats: bool = True
    """Whether there is a table of chats; else the chats are what the records name."""
    has_free_time: bool = False
    """Whether any column says how much free time was used."""


class OldRecord(NamedTuple):
    """A row of the old records. Times are milliseconds since 1970."""

    key: str
    user_id: str
    advisor_id: str
    chat_id: str | None
    status: str
    """``running``, ``paused``, ``ended`` or ``unknown``."""
    started_at: int | None
    ended_at: int | None
    last_resumed_at: int | None
    total_ms: int | None
    """Rounded to whole ones; None if it is no number."""
    cost_micro: int | None
    updated_at: int
    points_elsewhere: bool = False
    """Whether ``chat_id`` is a chat of another pair."""
    word: str = ""
    """What stands in the column of the status."""
    free_ms: int | None = 0
    """Free time used; None if it is no number."""
    rate_micro: int | None = None
    """Credits a minute; None where no column has it. Below zero: it is no number, or was so."""


class OldChat(NamedTuple):
    """A row of the old chats."""

    chat_id: str
    user_id: str
    advisor_id: str
    created_at: int | None
    ended_at: int | None
    duration_ms: int | None = 0
    """Its own duration; None if it is no number."""


class Pair(NamedTuple):
    """All that is known of one user with one advisor."""

    user_id: str
    advisor_id: str
    records: Sequence[OldRecord]
    chats: Sequence[OldChat]
    trusted: str = ""
    """Whom somebody has said to believe, ``chats`` or ``records``; empty: nobody has."""


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
    """``running`` or ``paused``."""
    started_at: int
    since: int | None
    """Up to here ``carried_ms`` is counted, while it runs; what runs after it is not paid for yet.
    None: nothing is known of that time, and it is not billed."""
    carried_ms: int
    carried_cost_micro: int
    seen_at: int = 0
    """When its record was last written."""
    free_ms: int | None = None
    """Free time in ``carried_ms``; None where no column has it."""
    rate_micro: int | None = None
    """Credits a minute; None where no column has it."""


class Quarantined(NamedTuple):
    """What can't be decided; its amounts are counted, not lost."""

    kind: str
    """``record`` or ``chat``."""
    key: str
    reason: str
    total_ms: int
    cost_micro: int
    status: str = ""
    """Of the chat, where it is not known to have ended: ``running``, ``paused``, ``unknown``."""
    chat_id: str = ""
    """The chat, where ``status`` is given."""


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
    surplus_ms: int = 0
    """Time that the chats have and the records have not, where somebody trusts the chats."""
    free_used_ms: int = 0
    """Free time that the user has used up with the advisor."""
