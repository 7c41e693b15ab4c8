"""What people decide about what was set aside."""

from daemon.legacy.diff import Databases
from daemon.legacy.errors import CannotResolveError
from daemon.legacy.migrate import retry
from daemon.legacy.rules.rows import ASSIGNED, TRUSTED
from daemon.legacy.store.quarantine import (
    count_reasons,
    pairs_exceeding,
    pairs_of_record,
    remember,
    remember_of_pair,
)
from daemon.legacy.store.reader import PairKey, pair_of_chat, read_old_pair, read_only
from daemon.legacy.store.runs import MigrationRun, exclusive_lock, last_run
from daemon.legacy.target_records import ASSIGNED_TO, TRUST_IN
from meterd.rules.commands import is_identifier


def retry_aside(sides: Databases, policy: str) -> tuple[MigrationRun, int, int]:
    """Look again at what is set aside; give the run, and how many rows it was before and after."""
    with sides.own.connect() as own:
        last = last_run(own)
    before = _aside(sides)
    run = retry(sides, policy if last is None else last.policy)
    return run, before, _aside(sides)


def assign_record(sides: Databases, key: str, chat_id: str) -> bool:
    """Write down to which chat a record belongs; gives whether the old chats have that chat.

    Raises:
        CannotResolveError: The record is not set aside, or the chat is another pair's.
        LegacyError: A run is at work, which would not see it.
    """
    if not is_identifier(chat_id):
        raise CannotResolveError(
            f"{chat_id!r} is no id of a chat: 1 to 128 of A-Z a-z 0-9 _ . : @ / + = -"
        )
    with (
        exclusive_lock(sides.own),
        sides.own.begin() as own,
    ):  # a run writes again what is set aside
        pairs = pairs_of_record(own, key)
        if len(pairs) != 1:
            raise CannotResolveError(
                f"{len(pairs)} records {key} are set aside, want one: meterd legacy quarantine list"
            )
        is_known = _is_chat_of(sides, pairs[0], chat_id)
        remember(own, key, pairs[0], {ASSIGNED_TO: chat_id})
    return is_known


def trust(sides: Databases, chat_id: str, whom: str) -> PairKey:
    """Write down whom to believe about the pair of a chat; gives its user and advisor.

    Args:
        sides: both databases.
        chat_id: a chat that is set aside as ``chats_exceed_records``.
        whom: ``chats`` or ``records``.

    Raises:
        CannotResolveError: No such chat is set aside for that reason.
        LegacyError: A run is at work, which would not see it.
    """
    with exclusive_lock(sides.own), sides.own.begin() as own:
        pairs = pairs_exceeding(own, chat_id)
        if len(pairs) != 1:
            raise CannotResolveError(
                f"{chat_id} is not set aside as chats_exceed_records: meterd legacy quarantine list"
            )
        remember_of_pair(own, pairs[0], {TRUST_IN: whom})
    return pairs[0]


def _is_chat_of(sides: Databases, pair: PairKey, chat_id: str) -> bool:
    with read_only(sides.old) as old:
        mine = read_old_pair(old, sides.shape, pair).pair
        if any(chat.chat_id == chat_id for chat in mine.chats):
            return True
        found = pair_of_chat(old, sides.shape, chat_id)
    if found is not None and (found.user_id, found.advisor_id) != pair:
        raise CannotResolveError(f"{chat_id} is a chat of {found.user_id} with {found.advisor_id}")
    return False


def _aside(sides: Databases) -> int:
    with sides.own.connect() as own:
        return sum(one.rows for one in count_reasons(own) if one.reason not in (ASSIGNED, TRUSTED))
