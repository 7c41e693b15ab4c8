"""Whatever is forged, altered or taken away in Redis, the audit names it; and nothing else.

Each case breaks one thing of what the load left. Together they go over all kinds of keys that the
function library writes.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from meterd.rules.model import Account
from meterd.rules.redis_keys import GROUP
from persistence.redis.commit import pack_state, unpack_state
from persistence.redis.snapshot_scan import SnapshotScan
from tests.audit.conftest import System
from tests.audit_check import audited
from tests.engine.harness import KEYS

LATER = "99999999999999-0"
Pairs = list[tuple[str, dict[str, str]]]
Told = tuple[str, str | None, str | None]
"""Kind, user and chat of a difference."""


class Forgery(NamedTuple):
    """Something that is broken, and the differences that have to be named."""

    breaks: Callable[[System], object]
    told: list[Told]
    is_alone: bool = True
    """Whether nothing else differs because of it."""


def _read(system: System, stream: str) -> Pairs:
    found: Any = system.client.xrange(stream)
    return [(e.decode(), {k.decode(): v.decode() for k, v in f.items()}) for e, f in found]


def _rewrite(system: System, stream: str, pairs: Pairs) -> None:
    """The stream made again with these entries, as if nothing had been deleted."""
    last: Any = system.client.xinfo_stream(stream)["last-generated-id"]
    system.client.delete(stream)
    for entry, fields in pairs:
        system.client.xadd(stream, fields, id=entry)  # type: ignore[arg-type]
    system.client.execute_command("XSETID", stream, last)  # type: ignore[no-untyped-call]


def _events(system: System, user: str = "calm") -> Pairs:
    return [(e, f) for e, f in _read(system, KEYS.events) if f["user_id"] == user]


def _delete_event(place: int) -> Callable[[System], object]:
    return lambda s: s.client.xdel(KEYS.events, _events(s)[place][0])


def _add_event(**fields: str) -> Callable[[System], object]:
    event = {"event": "wallet.topped_up", "at": "1", "user_id": "calm", "seq": "99", **fields}
    return lambda s: s.client.xadd(KEYS.events, event)  # type: ignore[arg-type]


def _alter_event(name: str, value: str, event: str = "chat.ended") -> Callable[[System], object]:
    def alter(system: System) -> None:
        found = _read(system, KEYS.events)
        (which,) = [e for e, f in found if f["user_id"] == "calm" and f["event"] == event]
        altered = [(e, {**f, name: value} if e == which else f) for e, f in found]
        _rewrite(system, KEYS.events, altered)

    return alter


def _swap_events(system: System) -> None:
    found, (first, second) = _read(system, KEYS.events), _events(system)[2:4]
    other = {first[0]: second[1], second[0]: first[1]}
    _rewrite(system, KEYS.events, [(e, other.get(e, f)) for e, f in found])


def _double_event(system: System) -> None:
    system.client.xadd(KEYS.events, _events(system)[1][1])  # type: ignore[arg-type]


def _without_its_events(system: System) -> None:
    system.client.xdel(KEYS.events, *[entry for entry, _ in _events(system)])


def _account(**changed: Any) -> Callable[[System], object]:
    def change(system: System) -> None:
        applied, account = _state(system)
        state = pack_state(applied, account._replace(**changed))
        system.client.set(KEYS.account("calm"), state)

    return change


def _account_chat(**changed: Any) -> Callable[[System], object]:
    def change(system: System) -> None:
        _, account = _state(system)
        chat = account.chats["calm.open"]._replace(**changed)
        _account(chats={**account.chats, "calm.open": chat})(system)

    return change


def _state(system: System) -> tuple[str, Account]:
    raw: Any = system.client.get(KEYS.account("calm"))
    return unpack_state(raw, "calm")


def _json(key: str, name: str) -> Callable[[System], object]:
    """One field of a JSON document is another value."""

    def change(system: System) -> None:
        raw: Any = system.client.get(key)
        system.client.set(key, json.dumps({**json.loads(raw), name: "?"}), keepttl=True)

    return change


def _copy(key: str, to: str) -> Callable[[System], object]:
    return lambda s: s.client.copy(key, to)


def _other_type(key: str) -> Callable[[System], object]:
    return lambda s: (s.client.delete(key), s.client.hset(key, "a", "b"))


def _id(id_: str, place: int, value: str) -> Callable[[System], object]:
    """A part of what is remembered of an id is another one: fingerprint, outcome, entry."""

    def change(system: System) -> None:
        raw: Any = system.client.get(KEYS.id(id_))
        parts = raw.decode().split(" ")
        parts[place] = value
        system.client.set(KEYS.id(id_), " ".join(parts), keepttl=True)

    return change


def _swap_ids(system: System) -> None:
    one: Any = system.client.get(KEYS.id("special-1"))
    other: Any = system.client.get(KEYS.id("special-2"))
    system.client.set(KEYS.id("special-1"), other, keepttl=True)
    system.client.set(KEYS.id("special-2"), one, keepttl=True)


def _alter_command(system: System) -> None:
    altered = [
        (e, {**f, "amount": "51"} if "reply_to" in f else f)
        for e, f in _read(system, KEYS.commands)
    ]
    _rewrite(system, KEYS.commands, altered)
    system.client.xgroup_create(KEYS.commands, GROUP, id="$")


def _swallow(system: System) -> None:
    """A command that was read and acknowledged, and never had an effect."""
    fields: Any = {"type": "top_up", "id": "eaten", "user_id": "calm", "amount": "1"}
    entry: Any = system.client.xadd(KEYS.commands, fields)
    system.client.xreadgroup(GROUP, "meterd", {KEYS.commands: ">"})
    system.client.xack(KEYS.commands, GROUP, entry)


def _reply(**changed: str) -> Callable[[System], object]:
    def change(system: System) -> None:
        _, fields = _read(system, KEYS.reply("me"))[0]
        forged: Any = {**fields, **changed}
        system.client.xadd(KEYS.reply("me"), forged)

    return change


def _letter(**changed: str) -> Callable[[System], object]:
    def change(system: System) -> None:
        _, fields = _read(system, KEYS.dead)[0]
        forged: Any = {**fields, **changed}
        system.client.xadd(KEYS.dead, forged)

    return change


def _outbox(**facts: Any) -> Callable[[System], object]:
    nothing: dict[str, list[Any]] = {"records": [], "ledger": [], "journal": []}
    return lambda s: s.client.xadd(KEYS.outbox, {"facts": json.dumps({**nothing, **facts})})


ROW: list[Any] = [LATER, "calm", None, {}, "ok", False, "p"]
CREDIT: list[Any] = ["top_up:1-1", "calm", None, "top_up", 5_000_000, 1, "k"]

_ACCOUNT: list[Told] = [("account", "calm", None)]
_OPEN_CHAT: list[Told] = [("chat_snapshot", "calm", "calm.open")]
_EXTRA: Told = ("extra_event", "calm", None)
_POSITION: list[Told] = [("position", None, None)]
_KEY: list[Told] = [("key", None, None)]
_LOST_IDS: list[Told] = [("remembered_id", "calm", None)]
CHAT_FIELDS = [
    "chat_id", "user_id", "advisor_id", "status", "as_of", "started_at", "ended_at", "end_reason",
    "pause_reason", "active_ms", "paused_ms", "billed_ms", "cost", "refunded", "rate", "free_ms",
    "free_scope", "min_ms", "increment_ms", "increment_due", "idle_ms", "abandon_ms", "max_ms",
    "seq", "unheard_of",
]  # fmt: skip
WALLET_FIELDS = ["user_id", "as_of", "balance", "burn_rate", "zero_at", "open_chats", "seq"]
ACCOUNT_FIELDS = {
    "settled_micro": 1, "announced_ms": 7, "zero_at_ms": 7, "as_of_ms": 7, "seq": 99,
    "chats": {}, "free_used_ms": {"user": 5},
}  # fmt: skip

FORGERIES = {
    **{
        f"account-{name}": Forgery(_account(**{name: value}), _ACCOUNT)
        for name, value in ACCOUNT_FIELDS.items()
    },
    "account-chat-owed": Forgery(_account_chat(owed_rate_ms=60_000), _ACCOUNT),
    "account-chat-alive": Forgery(_account_chat(alive_at_ms=9), _ACCOUNT),
    "account-chat-limit": Forgery(_account_chat(free_limit_ms=9), _ACCOUNT),
    "account-type": Forgery(_other_type(KEYS.account("calm")), [("missing_account", "calm", None)]),
    "account-unknown": Forgery(
        _copy(KEYS.account("calm"), KEYS.account("ghost")), [("unknown_account", "ghost", None)]
    ),
    "account-expires": Forgery(
        lambda s: s.client.pexpire(KEYS.account("calm"), 10**9), [("expiry", "calm", None)]
    ),
    **{
        f"wallet-{name}": Forgery(_json(KEYS.wallet("calm"), name), [("wallet", "calm", None)])
        for name in WALLET_FIELDS
    },
    "wallet-type": Forgery(_other_type(KEYS.wallet("calm")), [("wallet", "calm", None)]),
    "wallet-unknown": Forgery(
        _copy(KEYS.wallet("calm"), KEYS.wallet("ghost")), [("unknown_wallet", "ghost", None)]
    ),
    "wallet-of-one-who-has-none": Forgery(
        _copy(KEYS.wallet("calm"), KEYS.wallet("other")), [("wallet", "other", None)]
    ),
    "wallet-expires": Forgery(
        lambda s: s.client.pexpire(KEYS.wallet("calm"), 10**9), [("expiry", "calm", None)]
    ),
    **{
        f"chat-{name}": Forgery(_json(KEYS.chat("calm.open"), name), _OPEN_CHAT)
        for name in CHAT_FIELDS
    },
    "chat-ended-cost": Forgery(
        _json(KEYS.chat("calm.ended"), "cost"), [("chat_snapshot", "calm", "calm.ended")]
    ),
    "chat-ended-refunded": Forgery(
        _json(KEYS.chat("calm.ended"), "refunded"), [("chat_snapshot", "calm", "calm.ended")]
    ),
    "chat-carried": Forgery(
        _json(KEYS.chat("calm.old"), "carried_cost"), [("chat_snapshot", "calm", "calm.old")]
    ),
    "chat-garbled": Forgery(lambda s: s.client.set(KEYS.chat("calm.open"), "{"), _OPEN_CHAT),
    "chat-type": Forgery(_other_type(KEYS.chat("calm.open")), _OPEN_CHAT),
    "chat-unknown": Forgery(
        _copy(KEYS.chat("calm.open"), KEYS.chat("ghost.1")), [("unknown_chat", None, "ghost.1")]
    ),
    "chat-refused-at-its-start": Forgery(
        _copy(KEYS.chat("calm.open"), KEYS.chat("nobody.s")), [("unknown_chat", None, "nobody.s")]
    ),
    "chat-expires": Forgery(
        lambda s: s.client.pexpire(KEYS.chat("calm.open"), 10**9), [("expiry", None, "calm.open")]
    ),
    "open-type": Forgery(
        _other_type(KEYS.open_users), [("key", None, None), ("open", "calm", None)], is_alone=False
    ),
    "id-gone": Forgery(lambda s: s.client.delete(KEYS.id("special-0")), _LOST_IDS),
    "id-gone-of-a-start": Forgery(
        lambda s: s.client.delete(KEYS.id("special-1")), [("remembered_id", "calm", "calm.open")]
    ),
    "id-gone-of-nobody": Forgery(
        lambda s: s.client.delete(KEYS.id("special-8")), [("remembered_id", None, "nobody.s")]
    ),
    "id-fingerprint": Forgery(_id("special-0", 0, "0" * 24), _LOST_IDS),
    "id-outcome": Forgery(_id("special-0", 1, "exceeds_cost"), _LOST_IDS),
    "id-entry": Forgery(_id("special-0", 2, "5-5"), [*_LOST_IDS, ("unknown_id", None, None)]),
    "id-type": Forgery(_other_type(KEYS.id("special-0")), [*_LOST_IDS, ("unknown_id", None, None)]),
    "id-empty": Forgery(
        lambda s: s.client.set(KEYS.id("special-0"), "", keepttl=True),
        [*_LOST_IDS, ("unknown_id", None, None)],
    ),
    "ids-swapped": Forgery(
        _swap_ids,
        [
            ("remembered_id", "calm", "calm.ended"),
            ("remembered_id", "calm", "calm.open"),
            ("unknown_id", None, None),
            ("unknown_id", None, None),
        ],
    ),
    "id-unknown": Forgery(
        _copy(KEYS.id("special-0"), KEYS.id("forged")), [("unknown_id", None, None)]
    ),
    "id-unknown-without-entry": Forgery(
        lambda s: s.client.set(KEYS.id("forged"), "0 ok", px=10**8), [("unknown_id", None, None)]
    ),
    "id-forgotten-too-early": Forgery(
        lambda s: s.client.pexpire(KEYS.id("special-1"), 23 * 3_600_000),
        [("remembered_id", "calm", "calm.open")],
    ),
    "id-of-credits-forgotten-too-early": Forgery(
        lambda s: s.client.pexpire(KEYS.id("special-0"), 29 * 86_400_000), _LOST_IDS
    ),
    "id-for-ever": Forgery(lambda s: s.client.persist(KEYS.id("special-0")), _LOST_IDS),
    "event-first-gone": Forgery(_delete_event(0), [("missing_event", "calm", None)]),
    "event-gone": Forgery(_delete_event(1), [("missing_event", "calm", "calm.open")]),
    "event-last-gone": Forgery(_delete_event(-1), [("missing_event", "calm", "calm.old")]),
    "events-of-a-user-gone": Forgery(
        _without_its_events,
        [
            ("missing_event", "calm", None),
            ("missing_event", "calm", "calm.ended"),
            ("missing_event", "calm", "calm.ended"),
            ("missing_event", "calm", "calm.ended"),
            ("missing_event", "calm", "calm.old"),
            ("missing_event", "calm", "calm.open"),
        ],
    ),
    "events-all-gone": Forgery(
        lambda s: s.client.xtrim(KEYS.events, maxlen=0, approximate=False),
        [("missing_event", None, None)],
    ),
    "event-doubled": Forgery(_double_event, [("extra_event", "calm", "calm.open")]),
    "event-of-a-user": Forgery(_add_event(), [_EXTRA]),
    "event-of-nobody": Forgery(_add_event(user_id="ghost"), [("extra_event", "ghost", None)]),
    "event-without-user": Forgery(_add_event(user_id=""), [("extra_event", "", None)]),
    "events-swapped": Forgery(
        _swap_events,
        [("extra_event", "calm", "calm.ended"), ("missing_event", "calm", "calm.ended")],
    ),
    **{
        f"event-{name}": Forgery(
            _alter_event(name, value),
            [("extra_event", "calm", "calm.ended"), ("missing_event", "calm", "calm.ended")],
        )
        for name, value in {
            "event": "chat.paused",
            "at": "1",
            "seq": "9",
            "reason": "abandoned",
            "more": "1",
        }.items()
    },
    "event-chat": Forgery(
        _alter_event("chat_id", "calm.open"),
        [("extra_event", "calm", "calm.open"), ("missing_event", "calm", "calm.ended")],
    ),
    "event-user": Forgery(
        _alter_event("user_id", "broke"),
        [("extra_event", "broke", "calm.ended"), ("missing_event", "calm", "calm.ended")],
    ),
    "events-type": Forgery(_other_type(KEYS.events), _KEY),
    "command-altered": Forgery(_alter_command, [("journal_entry", "calm", None)]),
    "command-swallowed": Forgery(_swallow, [("unhandled", "calm", None)]),
    "commands-gone": Forgery(lambda s: s.client.delete(KEYS.commands), _POSITION),
    "commands-type": Forgery(_other_type(KEYS.commands), _KEY),
    "reply-doubled-with-another-outcome": Forgery(
        _reply(outcome="id_conflict"), [("reply", "calm", None)]
    ),
    "reply-id": Forgery(_reply(id="k"), [("reply", "calm", None)]),
    "reply-replayed": Forgery(_reply(replayed="1"), [("reply", "calm", None)]),
    "reply-to-nothing": Forgery(_reply(entry="5-5"), [("reply", None, None)]),
    "reply-garbled": Forgery(_reply(entry=""), [("reply", None, None)]),
    "reply-type": Forgery(_other_type(KEYS.reply("me")), _KEY),
    "letter-of-nothing": Forgery(_letter(entry="5-5"), [("dead_letter", None, None)]),
    "letter-garbled": Forgery(_letter(entry="?"), [("dead_letter", None, None)]),
    "letter-outcome": Forgery(_letter(outcome="internal_error"), [("dead_letter", None, None)]),
    "letter-fields": Forgery(_letter(fields='{"type": "top_up"}'), [("dead_letter", None, None)]),
    "letters-type": Forgery(_other_type(KEYS.dead), _KEY),
    "outbox-row": Forgery(_outbox(journal=[ROW]), [("outbox", "calm", None)]),
    "outbox-row-of-nobody-known": Forgery(
        _outbox(journal=[["5-5", "ghost", *ROW[2:]]]), [("outbox", "ghost", None)]
    ),
    "outbox-credit": Forgery(_outbox(ledger=[CREDIT]), [("outbox", "calm", None)]),
    "outbox-garbled": Forgery(
        lambda s: s.client.xadd(KEYS.outbox, {"facts": "{"}), [("outbox", None, None)]
    ),
    "outbox-without-facts": Forgery(
        lambda s: s.client.xadd(KEYS.outbox, {"fact": "{}"}), [("outbox", None, None)]
    ),
    "outbox-gone": Forgery(lambda s: s.client.delete(KEYS.outbox), _POSITION),
    "outbox-type": Forgery(_other_type(KEYS.outbox), _KEY),
    "refused-garbled": Forgery(
        lambda s: s.client.xadd(KEYS.rejected, {"facts": "{"}), [("refused", None, None)]
    ),
    "delivered-ahead": Forgery(lambda s: s.client.set(KEYS.outbox_delivered, LATER), _POSITION),
    "memory-renamed": Forgery(lambda s: s.client.set(KEYS.instance_id, "x"), _POSITION),
    "memory-gone": Forgery(lambda s: s.client.delete(KEYS.instance_id), _POSITION),
    "epoch-put-back": Forgery(lambda s: s.client.set(KEYS.epoch, "0"), _POSITION),
    "epoch-gone": Forgery(lambda s: s.client.delete(KEYS.epoch), _POSITION),
    "epoch-of-the-future-held": Forgery(
        lambda s: s.client.hset(KEYS.epochs, "chat-1", "999"), _POSITION
    ),
    "key-unheard-of": Forgery(lambda s: s.client.set(f"{KEYS.prefix}due:calm", "1"), _KEY),
}


SOME = [
    "account-settled_micro", "account-unknown", "wallet-balance", "wallet-unknown", "chat-cost",
    "chat-unknown", "chat-expires", "id-gone", "id-outcome", "id-unknown", "event-gone",
    "event-reason", "event-of-nobody", "command-swallowed", "reply-to-nothing",
    "letter-of-nothing", "outbox-row", "delivered-ahead", "key-unheard-of",
]  # fmt: skip
"""One of each kind."""


def assert_named(damaged: System, forgery: Forgery) -> None:
    """Kind, user and chat of each difference are told, and no others."""
    forgery.breaks(damaged)
    _, found = audited(damaged.engine, damaged.redis_url, lambda _seconds: None)
    told = [(one.kind, one.user, one.chat) for one in found]
    if forgery.is_alone:
        assert sorted(told, key=repr) == sorted(forgery.told, key=repr)
    assert set(forgery.told) <= set(told)
    for difference in found:
        assert difference.expected != difference.found


@pytest.mark.parametrize("name", SOME)
def test_what_is_forged_is_named(damaged: System, name: str) -> None:
    """Whatever kind of key it is in."""
    assert_named(damaged, FORGERIES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORGERIES if name not in SOME])
def test_whatever_is_forged_is_named(damaged: System, name: str) -> None:
    """Each field of each document, each part of each key."""
    assert_named(damaged, FORGERIES[name])


@pytest.mark.parametrize("left", [40, 1])
def test_what_was_trimmed_is_not_missed(damaged: System, left: int) -> None:
    """However few events are left: the stream reaches back to the first of them."""
    damaged.client.xtrim(KEYS.events, maxlen=left, approximate=False)
    assert audited(damaged.engine, damaged.redis_url)[1] == []


def test_one_user_alone_is_compared_with_the_events_too(damaged: System) -> None:
    """With ``--user``, only that user's."""
    _delete_event(1)(damaged)
    _add_event(user_id="other")(damaged)
    found: list[Difference] = []
    scan = SnapshotScan(damaged.client, KEYS)
    Audit(damaged.engine, scan, Findings(found.append)).run(Scope(user="calm"))
    assert [(one.kind, one.chat) for one in found] == [("missing_event", "calm.open")]


def test_what_has_no_account_may_be_answered_again(damaged: System) -> None:
    """Once the group was destroyed, and the command was read again; not with another outcome."""
    nobodys = "WHERE user_id IS NULL AND outcome = 'unknown_chat'"
    entry = damaged.sql(f"SELECT stream_id FROM command_journal {nobodys}")
    id_ = damaged.sql(f"SELECT fields->>'id' FROM command_journal {nobodys}")
    again: dict[Any, Any] = {"entry": entry, "id": id_, "outcome": "unknown_chat", "replayed": "1"}
    damaged.client.xadd(KEYS.reply("me"), again)
    assert audited(damaged.engine, damaged.redis_url)[1] == []
    damaged.client.xadd(KEYS.reply("me"), {**again, "outcome": "ok"})
    _, (difference,) = audited(damaged.engine, damaged.redis_url)
    assert difference.kind == "reply"
