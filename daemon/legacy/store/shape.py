"""The shape of the old tables: what is where, in which unit, and what a status word means."""

from typing import NamedTuple, Self

from daemon.legacy.errors import LegacyError
from daemon.legacy.rules.rows import CHAT_DURATION, POLICIES, UNKNOWN, Division
from daemon.legacy.store.names import LegacyNames
from daemon.settings.legacy import LegacySettings
from meterd.rules.model import FREE_OF_ADVISOR, FreeScope

_DEFAULT = LegacySettings()


class LegacyShape(NamedTuple):
    """All that the settings say of the old tables; the defaults are those of the settings."""

    names: LegacyNames = LegacyNames.of(_DEFAULT)
    policy: str = _DEFAULT.policy
    """How time is divided; a run that has begun goes on by its own."""
    status_words: tuple[tuple[str, str], ...] = tuple(_DEFAULT.status_words.items())
    """What each word means: ``running``, ``paused`` or ``ended``. Words are in lower case."""
    time_unit: str = _DEFAULT.time_unit
    """Of every column that holds a duration: ``seconds``, ``minutes`` or ``ms``."""
    time_zone: str = _DEFAULT.time_zone
    """Of every column that holds a moment without a zone."""
    are_sessions: bool = False
    """Whether several records of one chat add up."""
    do_balances_add_up: bool = False
    """Whether several balances of one user add up."""
    free_scope: FreeScope = FREE_OF_ADVISOR
    """Which chats share the free time that was used."""

    @classmethod
    def of(cls, settings: LegacySettings) -> Self:
        """Return the shape that the settings describe."""
        return cls(
            names=LegacyNames.of(settings),
            policy=settings.policy,
            status_words=tuple(settings.status_words.items()),
            time_unit=settings.time_unit,
            time_zone=settings.time_zone,
            are_sessions=settings.several_records == "add_up",
            do_balances_add_up=settings.several_balances == "add_up",
            free_scope=settings.free_scope or FREE_OF_ADVISOR,
        )

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies by which tables of this shape can be divided."""
        if self.names.has("chats_duration"):
            return POLICIES
        return tuple(policy for policy in POLICIES if policy != CHAT_DURATION)

    def status_of(self, word: str) -> str:
        """What a status word means; ``unknown`` if no setting says it."""
        return dict(self.status_words).get(word.strip().lower(), UNKNOWN)

    def division(self, policy: str) -> Division:
        """How the rows of a pair are divided by a policy.

        Raises:
            LegacyError: the policy needs a column that this shape does not have.
        """
        if policy not in self.policies:
            raise LegacyError(
                f"legacy.chats_duration: the policy {policy} needs it, and it is empty"
            )
        names = self.names
        return Division(
            policy=policy,
            are_sessions=self.are_sessions,
            has_ends=names.has("records_ended_at") or names.has("chats_ended_at"),
            has_chats=names.has("chats_table"),
            has_free_time=names.has("records_free_used"),
        )
