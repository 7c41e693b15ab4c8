"""Every worked example of the contract, through the rules."""

import pytest

from meterd.rules.money import format_micro
from meterd.rules.snapshots import chat_snapshot, wallet_snapshot
from tests.conformance import EXAMPLES, Example, flat_fields, policy_of
from tests.world import World

RECORD = (
    "chat_id",
    "user_id",
    "advisor_id",
    "status",
    "started_at",
    "ended_at",
    "end_reason",
    "active_ms",
    "paused_ms",
    "billed_ms",
    "cost",
    "refunded",
    "rate",
    "free_ms",
    "free_scope",
    "increment_due",
    "abandon_ms",
    "max_ms",
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["name"])
def test_the_rules_give_what_the_example_says(example: Example) -> None:
    """Outcomes, records, wallets, ledger and events, all of them and in order."""
    expect, as_of = example["expect"], example["as_of"]
    world = World(policy_of(example))
    results = []
    at, number = 0, 0
    for ms, fields in example["entries"]:
        number = number + 1 if ms == at else 0
        at = ms
        results.append(world.feed(f"{ms}-{number}", flat_fields(fields)))
    for n, user_id in enumerate(sorted(world.accounts)):
        settle = {"type": "settle", "user_id": user_id}
        results.append(world.feed(f"{as_of}-{n}", flat_fields(settle)))
    answered = results[: len(example["entries"])]
    assert [[r.id, r.outcome] for r in answered] == expect["outcomes"]
    assert {k: _record(world, k, as_of) for k in world.owner} == expect["records"]
    wallets = {u: wallet_snapshot(a, as_of) for u, a in world.accounts.items()}
    assert {
        u: {"balance": w["balance"], "zero_at": w["zero_at"]}
        for u, w in wallets.items()
        if w["seq"]
    } == expect["wallets"]
    events = [_event(e) for r in results for e in r.events]
    key = lambda e: e["user_id"]  # noqa: E731
    assert sorted(events, key=key) == sorted(expect["events"], key=key)
    ledger = [_ledger(e) for r in results for e in r.ledger]
    assert sorted(ledger, key=key) == sorted(expect["ledger"], key=key)


def _record(world: World, chat_id: str, as_of: int) -> dict[str, object]:
    chat = world.chat(chat_id)
    assert chat is not None
    snapshot = chat_snapshot(chat, as_of)
    return {name: snapshot[name] for name in RECORD}


def _event(event) -> dict[str, object]:  # type: ignore[no-untyped-def]
    told = {k: getattr(event, k) for k in ("event", "user_id", "chat_id")} | {"at": event.at_ms}
    extra = {k: getattr(event, k) for k in ("reason", "threshold_ms")}
    return told | {k: v for k, v in extra.items() if v is not None}


def _ledger(entry) -> dict[str, object]:  # type: ignore[no-untyped-def]
    told = {k: getattr(entry, k) for k in ("user_id", "chat_id", "kind")}
    return told | {"at": entry.at_ms, "amount": format_micro(entry.amount_micro)}
