"""Forged events, commands, replies, dead letters and entries of the outbox."""

import json
from collections.abc import Callable
from typing import Any

from meterd.rules.redis_keys import GROUP
from tests.audit.conftest import System
from tests.audit.forging import KEY, LATER, POSITION, Forgery, Told, other_type
from tests.engine.harness import KEYS

Pairs = list[tuple[str, dict[str, str]]]


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


def delete_event(place: int) -> Callable[[System], object]:
    """One of the events of the user calm is gone."""
    return lambda s: s.client.xdel(KEYS.events, _events(s)[place][0])


def add_event(**fields: str) -> Callable[[System], object]:
    """There is an event that nothing has made; of the user calm, if no other is given."""
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
_EXTRA: Told = ("extra_event", "calm", None)
STREAMS = {
    "event-first-gone": Forgery(delete_event(0), [("missing_event", "calm", None)]),
    "event-gone": Forgery(delete_event(1), [("missing_event", "calm", "calm.open")]),
    "event-last-gone": Forgery(delete_event(-1), [("missing_event", "calm", "calm.old")]),
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
    "event-of-a-user": Forgery(add_event(), [_EXTRA]),
    "event-of-nobody": Forgery(add_event(user_id="ghost"), [("extra_event", "ghost", None)]),
    "event-without-user": Forgery(add_event(user_id=""), [("extra_event", "", None)]),
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
    "events-type": Forgery(other_type(KEYS.events), KEY),
    "command-altered": Forgery(_alter_command, [("journal_entry", "calm", None)]),
    "command-swallowed": Forgery(_swallow, [("unhandled", "calm", None)]),
    "commands-gone": Forgery(lambda s: s.client.delete(KEYS.commands), POSITION),
    "commands-type": Forgery(other_type(KEYS.commands), KEY),
    "reply-doubled-with-another-outcome": Forgery(
        _reply(outcome="id_conflict"), [("reply", "calm", None)]
    ),
    "reply-id": Forgery(_reply(id="k"), [("reply", "calm", None)]),
    "reply-replayed": Forgery(_reply(replayed="1"), [("reply", "calm", None)]),
    "reply-to-nothing": Forgery(_reply(entry="5-5"), [("reply", None, None)]),
    "reply-garbled": Forgery(_reply(entry=""), [("reply", None, None)]),
    "reply-type": Forgery(other_type(KEYS.reply("me")), KEY),
    "letter-of-nothing": Forgery(_letter(entry="5-5"), [("dead_letter", None, None)]),
    "letter-garbled": Forgery(_letter(entry="?"), [("dead_letter", None, None)]),
    "letter-outcome": Forgery(_letter(outcome="internal_error"), [("dead_letter", None, None)]),
    "letter-fields": Forgery(_letter(fields='{"type": "top_up"}'), [("dead_letter", None, None)]),
    "letters-type": Forgery(other_type(KEYS.dead), KEY),
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
    "outbox-gone": Forgery(lambda s: s.client.delete(KEYS.outbox), POSITION),
    "outbox-type": Forgery(other_type(KEYS.outbox), KEY),
    "refused-garbled": Forgery(
        lambda s: s.client.xadd(KEYS.rejected, {"facts": "{"}), [("refused", None, None)]
    ),
}
