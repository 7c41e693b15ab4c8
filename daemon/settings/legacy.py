"""The section ``legacy`` of the settings: the system before meterd, its tables and columns."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from daemon.settings.types import (
    Decimal6,
    Lowercase,
    Milliseconds,
    PositiveMilliseconds,
    PostgresUrl,
    Section,
)

_DAY_MS: Final = 86_400_000
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,62}")
_STATUSES: Final = ("running", "paused", "ended")

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "conversation_time_record": {
        "policy": "chat_duration",
        "rate": "1",
        "free_ms": 60_000,
        "free_scope": "advisor",
        "increment_ms": 15_000,
        "increment_due": "end",
        "abandon_ms": 30_000,
        "status_words": {"true": "running", "false": "ended"},
        "several_records": "add_up",
        "records_table": "conversationTimeRecord",
        "records_user_id": "userId",
        "records_advisor_id": "advisorId",
        "records_chat_id": "chatId",
        "records_status": "isActive",
        "records_started_at": "timestamp",
        "records_ended_at": "",
        "records_last_resumed_at": "",
        "records_total_seconds": "duration",
        "records_credits_used": "creditsUsed",
        "records_free_used": "freeTimeUsed",
        "records_created_at": "",
        "records_updated_at": "lastHeartbeatTime",
        "chats_table": "chat",
        "chats_user_id": "userId",
        "chats_advisor_id": "advisorId",
        "chats_created_at": "createdAt",
        "chats_ended_at": "",
        "chats_duration": "duration",
        "credits_table": "user",
        "credits_user_id": "id",
        "credits_balance": "credits",
    },
}
"""What each preset sets; whatever it leaves out is the default of the setting."""


def is_column(name: str) -> bool:
    """Return whether a column of the old tables can be called so."""
    return _IDENTIFIER.fullmatch(name) is not None


def is_table(name: str) -> bool:
    """Return whether an old table can be called so: ``table`` or ``schema.table``."""
    parts = name.split(".")
    return len(parts) in (1, 2) and all(map(is_column, parts))


def _table_name(value: str) -> str:
    if not is_table(value):
        raise ValueError("should be the name of a table: letters, digits, _ and $, or schema.table")
    return value


def _column_name(value: str) -> str:
    if not is_column(value):
        raise ValueError("should be the name of a column: letters, digits, _ and $")
    return value


def _optional_table(value: str) -> str:
    return _table_name(value) if value else value


def _optional_column(value: str) -> str:
    return _column_name(value) if value else value


def _zone_name(value: str) -> str:
    if not _ZONE.fullmatch(value):
        raise ValueError("should be the name of a time zone, such as UTC or Europe/Berlin")
    return value


def _words(value: object) -> object:
    """Status words from YAML, or from text: JSON, or ``word=status`` apart by commas."""
    if isinstance(value, str):
        value = _words_of_text(value)
    if not isinstance(value, Mapping):
        raise ValueError(_WORDS)
    return {_word(word): str(status).lower() for word, status in value.items()}


_WORDS: Final = "should say of each word running, paused or ended, such as active=running"


def _words_of_text(text: str) -> object:
    if text.strip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(_WORDS) from None
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return {word.strip(): status.strip() for word, _, status in pairs}


def _word(word: object) -> str:
    """As it is compared: without regard to case; a boolean as PostgreSQL writes it."""
    return str(word).strip().lower()


def _known_statuses(value: dict[str, str]) -> dict[str, str]:
    if not value or not set(value.values()) <= set(_STATUSES):
        raise ValueError(_WORDS)
    return value


_DEFAULT_WORDS: Final = {"active": "running", "paused": "paused", "completed": "ended"}
TableName = Annotated[str, AfterValidator(_table_name)]
ColumnName = Annotated[str, AfterValidator(_column_name)]
OptionalTable = Annotated[str, AfterValidator(_optional_table)]
OptionalColumn = Annotated[str, AfterValidator(_optional_column)]
TimeZone = Annotated[str, AfterValidator(_zone_name)]
StatusWords = Annotated[dict[str, str], BeforeValidator(_words), AfterValidator(_known_statuses)]
Several = Lowercase[Literal["set_aside", "add_up"]]


class LegacySettings(Section):
    """The system before meterd: where its tables are, and what all is called there.

    The defaults are those of the preset ``default``. None is what the preset says; an empty name
    is a table or column that the old system does not have.
    """

    enabled: bool = False
    url: PostgresUrl = None
    preset: Lowercase[Literal["default", "conversation_time_record"]] = "default"
    policy: Lowercase[Literal["latest", "proportional", "chat_duration"]] = "latest"
    rate: Decimal6 | None = None
    free_ms: Milliseconds | None = None
    free_scope: Lowercase[Literal["chat", "advisor", "user"]] | None = None
    increment_ms: PositiveMilliseconds | None = None
    increment_due: Lowercase[Literal["begin", "end"]] | None = None
    abandon_ms: Milliseconds | None = None
    adopt_ms_max: Milliseconds = _DAY_MS
    status_words: StatusWords = _DEFAULT_WORDS
    time_unit: Lowercase[Literal["seconds", "minutes", "ms"]] = "seconds"
    time_zone: TimeZone = "UTC"
    several_records: Several = "set_aside"
    several_balances: Several = "set_aside"
    records_table: TableName = "conversation_time_records"
    records_id: ColumnName = "id"
    records_user_id: ColumnName = "user_id"
    records_advisor_id: ColumnName = "advisor_id"
    records_chat_id: ColumnName = "chat_id"
    records_status: OptionalColumn = "status"
    records_started_at: OptionalColumn = "started_at"
    records_ended_at: OptionalColumn = "ended_at"
    records_last_resumed_at: OptionalColumn = "last_resumed_at"
    records_total_seconds: OptionalColumn = "total_seconds"
    records_credits_used: OptionalColumn = "credits_used"
    records_free_used: OptionalColumn = ""
    records_rate: OptionalColumn = ""
    records_created_at: OptionalColumn = "created_at"
    records_updated_at: OptionalColumn = "updated_at"
    chats_table: OptionalTable = "chats"
    chats_id: ColumnName = "id"
    chats_user_id: ColumnName = "user_id"
    chats_advisor_id: ColumnName = "advisor_id"
    chats_created_at: ColumnName = "created_at"
    chats_ended_at: OptionalColumn = "ended_at"
    chats_duration: OptionalColumn = ""
    credits_table: OptionalTable = "user_credits"
    credits_user_id: ColumnName = "user_id"
    credits_balance: ColumnName = "balance"

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, data: Any) -> Any:
        """What is set goes before what the preset sets."""
        if not isinstance(data, Mapping):
            return data
        given = {name: value for name, value in data.items() if value is not None}
        preset = str(given.get("preset", "default")).lower()
        return {**PRESETS.get(preset, {}), **given}

    @model_validator(mode="after")
    def _says_enough(self) -> "LegacySettings":
        missing = list(self._missing())
        if missing:
            raise ValueError("; ".join(missing))
        return self

    def _missing(self) -> Iterator[str]:
        """What this shape can't say without another setting."""
        if not self.records_status and not self.records_ended_at:
            yield (
                "legacy.records_status is empty, so a chat runs as long as it has no end: name the"
                " column of the end in legacy.records_ended_at"
            )
        if not self.records_total_seconds and not (
            self.records_started_at and self.records_ended_at
        ):
            yield (
                "legacy.records_total_seconds is empty, so the time is the end minus the start:"
                " name both columns in legacy.records_started_at and legacy.records_ended_at"
            )
        if self.policy == "chat_duration" and not (self.chats_table and self.chats_duration):
            yield (
                "legacy.policy is chat_duration: name the column of a chat's own duration in"
                " legacy.chats_duration, and its table in legacy.chats_table"
            )
