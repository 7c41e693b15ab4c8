"""Keys in Redis that the fold never made: accounts, wallets, chats, ids, and any other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine

from daemon.audit.claims import ClaimCheck
from daemon.audit.differences import NOTHING, Difference, cut
from daemon.audit.remembered_ids import IdAudit, remembered_of, unknown_id
from daemon.audit.stream_entries import StreamAudit
from meterd.rules.model import ENDED
from persistence.postgres.reader import known_users, owners_of_chats, rows_of_ids
from persistence.redis.id_scan import RememberedId
from persistence.redis.key_scan import KINDS, OTHER, KeyScan, KeyState
from persistence.redis.snapshot_scan import SnapshotScan

WAITING_MAX: Final = 50_000
"""Unknown names that are held until the outbox is looked through for them."""

_CHAT: Final = msgspec.json.Decoder(dict[str, object])


class _Unknown:
    """Names that Postgres may not know, until they are many enough to look for."""

    def __init__(self, find: Callable[[set[str]], Iterator[Difference]]) -> None:
        self._find = find
        self._names: set[str] = set()

    def add(self, names: Iterable[str]) -> Iterator[Difference]:
        self._names.update(names)
        if len(self._names) >= WAITING_MAX:
            yield from self.end()

    def end(self) -> Iterator[Difference]:
        names, self._names = self._names, set()
        if names:
            yield from self._find(names)


class UnknownKeys:
    """Looks at every key once."""

    def __init__(
        self,
        engine: Engine,
        scan: SnapshotScan,
        keys: KeyScan,
        ids: IdAudit,
        streams: StreamAudit,
    ) -> None:
        """Ask both."""
        self._streams = streams
        self._engine = engine
        self._scan = scan
        self._keys = keys
        self._ids = ids

    def find(self) -> Iterator[Difference]:
        """What nobody knows of, unless what Postgres is to know of it is on its way."""
        accounts = _Unknown(lambda names: self._users(names, _account))
        wallets = _Unknown(lambda names: self._users(names, _wallet))
        chats, old_ids = _Unknown(self._chats), dict[str, RememberedId]()
        claims = ClaimCheck(self._engine, self._scan)
        for page in self._keys.pages():
            yield from accounts.add(self._unknown_users(page.of("account")))
            yield from wallets.add(self._unknown_users(page.of("wallet")))
            yield from chats.add(self._unknown_chats(page.of("chat")))
            yield from self._lasting("account", page.of("account"))
            yield from self._lasting("wallet", page.of("wallet"))
            yield from self._lasting_chats(page.of("chat"))
            yield from claims.differences(self._ids.claims(page.of("id"), old_ids))
            yield from map(_type, self._keys.wrong_kinds("reply", page.of("reply")))
            yield from map(_type, self._keys.wrong_kinds("owner", page.of("owner")))
            for reply_to in page.of("reply"):
                yield from self._streams.replies(reply_to)
            yield from map(_other, page.of(OTHER))
            if len(old_ids) >= WAITING_MAX:
                yield from self._old_ids(old_ids)
        for rest in (accounts, wallets, chats):
            yield from rest.end()
        yield from self._old_ids(old_ids)
        yield from self._open_users()

    def _open_users(self) -> Iterator[Difference]:
        users = _Unknown(lambda names: self._users(names, _open))
        for page in self._scan.open_users():
            yield from users.add(self._unknown_users(page))
        yield from users.end()

    def _old_ids(self, ids: dict[str, RememberedId]) -> Iterator[Difference]:
        """Version 0.1 kept no entry with an id; any row that has the id may have made it."""
        if not ids:
            return
        made: set[str] = set()
        with self._engine.connect() as connection:
            for row in rows_of_ids(connection, sorted(ids), self._scan.keys.partition):
                content, _, _ = remembered_of(row).rpartition(" ")
                if content and ids[str(row.fields["id"])].value == content:
                    made.add(str(row.fields["id"]))
        yield from (unknown_id(one) for id_, one in ids.items() if id_ not in made)
        ids.clear()

    def _users(
        self, names: set[str], difference: Callable[[str], Difference]
    ) -> Iterator[Difference]:
        # First those on their way, then Postgres again: what has left the outbox is there.
        for on_their_way in self._scan.users_in_outbox():
            names = names - on_their_way
        yield from map(difference, sorted(self._unknown_users(sorted(names))))

    def _chats(self, names: set[str]) -> Iterator[Difference]:
        for on_their_way in self._scan.chats_in_outbox():
            names = names - on_their_way
        yield from map(_chat, sorted(self._unknown_chats(sorted(names))))

    def _unknown_users(self, names: Sequence[str]) -> set[str]:
        return self._unknown(names, known_users)

    def _unknown_chats(self, names: Sequence[str]) -> set[str]:
        return self._unknown(
            names, lambda connection, ids: {one.chat_id for one in owners_of_chats(connection, ids)}
        )

    def _unknown(
        self, names: Sequence[str], known: Callable[[Connection, Sequence[str]], set[str]]
    ) -> set[str]:
        if not names:
            return set()
        with self._engine.connect() as connection:
            return set(names) - known(connection, names)

    def _lasting(self, kind: str, names: Sequence[str]) -> Iterator[Difference]:
        for one in self._keys.take(kind, names):
            if one.expires:
                yield _expires(kind, one, user=one.name)

    def _lasting_chats(self, names: Sequence[str]) -> Iterator[Difference]:
        """A chat's snapshot goes by itself once the chat has ended, and no sooner."""
        for one in self._keys.take("chat", names):
            if one.expires and not _is_ended(one):
                yield _expires("chat", one, chat=one.name)


def compare_types(keys: KeyScan) -> Iterator[Difference]:
    """A difference for each key of which there is one and that is of another type."""
    yield from map(_type, keys.wrong_types())


def _type(wrong: tuple[str, str, str]) -> Difference:
    name, expected, found = wrong
    return Difference("key", None, None, None, f"{name}: {expected}", f"{name}: {found}")


def _is_ended(one: KeyState) -> bool:
    try:
        return _CHAT.decode(one.value or b"{}").get("status") == ENDED
    except msgspec.MsgspecError:
        return False


def _expires(
    kind: str, one: KeyState, user: str | None = None, chat: str | None = None
) -> Difference:
    told = f"{kind} kept for ever", f"{kind} gone in {one.ttl_ms} ms"
    return Difference("expiry", user, chat, None, *told)


def _other(name: str) -> Difference:
    known = ", ".join(KINDS)
    return Difference("key", None, None, None, NOTHING, cut(f"{name}: none of {known}"))


def _account(user: str) -> Difference:
    return Difference("unknown_account", user, None, None, NOTHING, "an account in Redis")


def _wallet(user: str) -> Difference:
    return Difference("unknown_wallet", user, None, None, NOTHING, "a wallet in Redis")


def _open(user: str) -> Difference:
    return Difference("open", user, None, None, "in the set=False", "in the set=True")


def _chat(chat_id: str) -> Difference:
    return Difference("unknown_chat", None, chat_id, None, NOTHING, "a snapshot in Redis")
