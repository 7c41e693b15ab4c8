"""What must hold after every run, whatever was killed, as questions to the evidence.

Each check yields what it found wrong, in words; one that yields nothing holds. They are plain
functions, so that tests can break the evidence and see that each of them notices.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from actors.chat.rows import record_row
from meterd.rules import outcomes
from meterd.rules.billing import available
from meterd.rules.free_time import shares
from meterd.rules.model import LedgerEntry, Policy
from meterd.rules.money import format_micro
from meterd.rules.snapshots import chat_snapshot, not_started, wallet_snapshot
from persistence.redis.commit import event_fields, ledger_row
from tests.chaos.evidence import Evidence
from tests.load import Entry
from tests.world import Result, World

SHOWN_MAX = 5


class Fold(NamedTuple):
    """What the rules make of the stream, all of it."""

    world: World
    results: dict[str, Result]
    overdrawn: list[str]
    """Accounts that were below zero after some command."""


def fold(stream: Iterable[Entry], policy: Policy) -> Fold:
    """Fold the stream as the contract says."""
    world, results, overdrawn = World(policy), {}, []
    for entry, fields in stream:
        flat = [part.encode() for pair in fields.items() for part in pair]
        results[entry] = world.feed(entry, flat)
        account = world.accounts.get(fields.get("user_id", ""))
        if account is not None and available(account, account.as_of_ms) < 0:
            overdrawn.append(f"{account.user_id} at {account.as_of_ms}")
    return Fold(world, results, overdrawn)


def clients_log(evidence: Evidence, _fold: Fold) -> Iterator[str]:
    """What was taken is in the stream; what is there else was sent by somebody, once each."""
    stream = dict(evidence.stream)
    confirmed = dict(evidence.log)
    gone = evidence.lost | evidence.moved.keys()
    yield from _each("taken, and not in the stream", set(confirmed) - set(stream) - gone)
    changed = (e for e, f in confirmed.items() if e in stream and e not in gone and stream[e] != f)
    yield from _each("in the stream with other content", changed)
    attempts = Counter(_frozen(fields) for fields in evidence.uncertain)
    again = Counter(_frozen(f) for e, f in evidence.moved.items() if e in confirmed)
    attempts += again
    unknown = Counter(
        _frozen(fields)
        for entry, fields in stream.items()
        if entry not in confirmed and entry not in gone and fields.get("type") != "settle"
    )
    yield from _each("to be appended again, and was not", again - unknown)
    yield from _each("in the stream more often than sent", unknown - attempts)


def one_effect(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """Every entry has one journal row with the fold's outcome, and nothing is unfinished."""
    rows = Counter(row.stream_id for row in evidence.journal)
    yield from _each("in the journal twice", (e for e, n in rows.items() if n > 1))
    told = {row.stream_id: (row.outcome, row.replayed) for row in evidence.journal}
    due = {entry: (result.outcome, result.replayed) for entry, result in fold.results.items()}
    yield from _differences("outcome", told, due)
    fields = {row.stream_id: row.fields for row in evidence.journal}
    yield from _differences("journal's fields", fields, dict(evidence.stream))
    yield from (f"{n} {what}" for what, n in evidence.unfinished.items() if n)


def records_are_the_folds(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """Every chat has one record, the fold's, and every query about it is answered with it."""
    world = fold.world
    chats = {chat_id: world.chat(chat_id) for chat_id in world.owner}
    due = {k: record_row(chat) for k, chat in chats.items() if chat is not None}
    yield from _differences("record", evidence.records, due)
    open_chats = [k for k, row in due.items() if row.ended_at_ms is None]
    yield from _each("still open, so that the check is worth less", open_chats)


def queries_are_answered(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """Every chat that anybody named has an answer, the fold's, ``not_started`` included."""
    due = {}
    for chat_id in evidence.snapshots:
        chat = fold.world.chat(chat_id)
        full = not_started(chat_id) if chat is None else chat_snapshot(chat, chat.as_of_ms)
        due[chat_id] = {name: full[name] for name in ("status", "active_ms", "cost", "seq")}
    yield from _differences("answer", evidence.snapshots, due)
    yield from _each("not asked about", set(fold.world.owner) - set(evidence.snapshots))


def money(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """The ledger is the fold's, movement by movement; wallets are its sums; none below zero."""
    due: list[LedgerEntry] = [e for r in fold.results.values() for e in r.ledger]
    told_rows = {row.entry_id: row for row in evidence.ledger}
    yield from _differences("ledger entry", told_rows, {e.entry_id: ledger_row(e) for e in due})
    if len(told_rows) != len(evidence.ledger):
        yield "a ledger entry is there twice"
    sums: Counter[str] = Counter()
    for row in evidence.ledger:
        sums[row.user_id] += row.amount_micro
    accounts = fold.world.accounts
    balances = {u: wallet_snapshot(a, a.as_of_ms)["balance"] for u, a in accounts.items() if a.seq}
    yield from _differences(
        "balance", {u: w["balance"] for u, w in evidence.wallets.items()}, balances
    )
    yield from _differences(
        "sum of the ledger", {u: format_micro(sums[u]) for u in balances}, balances
    )
    yield from _each("below zero", [u for u, micro in sums.items() if micro < 0] + fold.overdrawn)


def charges(evidence: Evidence, _fold: Fold) -> Iterator[str]:
    """Of the database alone: an ended chat was charged its cost, once; no other was charged."""
    charged: Counter[str] = Counter()
    for row in evidence.ledger:
        if row.kind == "charge" and row.chat_id:
            charged[row.chat_id] -= row.amount_micro
    due = {
        k: r.cost_micro - r.carried_cost_micro
        for k, r in evidence.records.items()
        if r.ended_at_ms is not None and r.cost_micro != r.carried_cost_micro
    }
    yield from _differences("charge", dict(charged), due)


def times(evidence: Evidence, _fold: Fold) -> Iterator[str]:
    """Of the database alone: from start to end, every millisecond is active or paused."""
    for row in evidence.records.values():
        if row.ended_at_ms is not None:
            whole = row.ended_at_ms - row.started_at_ms
            if whole != row.active_ms + row.paused_ms:
                yield f"{row.chat_id}: {whole} ms are not {row.active_ms} + {row.paused_ms}"


def events(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """Each event once, each user's in the fold's order; a chat's ``seq`` has no gap.

    But where free time that chats share has moved: that makes a snapshot without an event. An event
    of a command that was handled again may be there again, the same.
    """
    due: dict[str, list[list[str]]] = defaultdict(list)
    told: dict[str, list[list[str]]] = defaultdict(list)
    for result in fold.results.values():
        for event in result.events:
            due[event.user_id].append(event_fields(event))
    seqs: dict[str, list[int]] = defaultdict(list)
    for words in _without_again(evidence, fold):
        fields = dict(zip(words[::2], words[1::2], strict=True))
        told[fields["user_id"]].append(words)
        if "chat_id" in fields:
            seqs[fields["chat_id"]].append(int(fields["seq"]))
    yield from _differences("events", dict(told), dict(due))
    moving = {k for k in fold.world.owner if (chat := fold.world.chat(k)) and shares(chat)}
    gaps = (
        chat_id
        for chat_id, told_seqs in seqs.items()
        if told_seqs
        != (sorted(set(told_seqs)) if chat_id in moving else list(range(1, len(told_seqs) + 1)))
    )
    yield from _each("seq with a gap", gaps)


def _without_again(evidence: Evidence, fold: Fold) -> Iterator[list[str]]:
    """The events without those that are there again because their command was handled again."""
    again = Counter(
        tuple(event_fields(event))
        for entry in evidence.handled_again.elements()
        if entry in fold.results
        for event in fold.results[entry].events
    )
    seen = set[tuple[str, ...]]()
    for words in evidence.events:
        event = tuple(words)
        if event in seen and again[event]:
            again[event] -= 1
            continue
        seen.add(event)
        yield words


def replies(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """Every entry that asked for a reply got one, once, with the fold's outcome."""
    counts = Counter(reply["entry"] for reply in evidence.replies) - _again(evidence)
    yield from _each("answered more than once", (e for e, n in counts.items() if n > 1))
    told: dict[str, tuple[str, str]] = {}
    for reply in evidence.replies:
        told.setdefault(reply["entry"], (reply["outcome"], reply["replayed"]))
    due = {
        entry: (fold.results[entry].outcome, str(int(fold.results[entry].replayed)))
        for entry, fields in evidence.stream
        if "reply_to" in fields
    }
    yield from _differences("reply", told, due)


def dead_letters(evidence: Evidence, fold: Fold) -> Iterator[str]:
    """What can't be a command is set aside once, and nothing else is."""
    due = [e for e, r in fold.results.items() if r.outcome == outcomes.INVALID_COMMAND]
    told, again = Counter(evidence.dead), _again(evidence)
    for entry in told.keys() & again.keys():
        told[entry] = max(1, told[entry] - again[entry])
    yield from _differences("dead letter", told, Counter(due))


def _again(evidence: Evidence) -> Counter[str]:
    """How many more answers and dead letters an entry may have.

    Where it belongs to no account, nothing tells that it had its effect once the group was
    destroyed and it is read again. What was handled again, because PostgreSQL had forgotten it, is
    answered again.
    """
    nobodys = {row.stream_id for row in evidence.journal if row.user_id is None}
    again = Counter({e: n for e, n in evidence.read_again.items() if e in nobodys})
    again.update(evidence.handled_again)
    return again


def losses_are_noticed(evidence: Evidence, _fold: Fold) -> Iterator[str]:
    """Where entries were taken away before they were handled, the daemon says so."""
    if evidence.lost and not evidence.noticed:
        yield f"{len(evidence.lost)} entries were taken away, and nobody noticed"


def fencing(evidence: Evidence, _fold: Fold) -> Iterator[str]:
    """Nobody whose epoch is over can write."""
    yield from _each("could write although its epoch is over", evidence.stale_writers)


Check = Callable[[Evidence, Fold], Iterator[str]]

CHECKS: dict[str, Check] = {
    "1 one effect, one outcome, one journal row": one_effect,
    "1 clients' log": clients_log,
    "1 one reply each": replies,
    "1 dead letters": dead_letters,
    "2 records": records_are_the_folds,
    "2 ledger and wallets": money,
    "3 times add up": times,
    "3 events and seq": events,
    "4 charges": charges,
    "5 fencing": fencing,
    "6 queries": queries_are_answered,
    "7 losses are noticed": losses_are_noticed,
}


def check(evidence: Evidence) -> dict[str, list[str]]:
    """What is wrong, by check; of each, the first findings."""
    folded = fold(evidence.stream, evidence.policy)
    return {name: list(found(evidence, folded)) for name, found in CHECKS.items()}


def wrong(findings: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The checks that did not hold."""
    return {name: found for name, found in findings.items() if found}


def _differences(what: str, told: Mapping[str, Any], due: Mapping[str, Any]) -> Iterator[str]:
    yield from _each(f"{what} missing", set(due) - set(told))
    yield from _each(f"{what} that nobody asked for", set(told) - set(due))
    other = [k for k in told if k in due and told[k] != due[k]]
    for key in other[:SHOWN_MAX]:
        yield f"{what} of {key}: {_compared(told[key], due[key])[:600]}"
    if len(other) > SHOWN_MAX:
        yield f"{what}: {len(other)} differ"


def _compared(told: Any, due: Any) -> str:
    """In what two values differ; of rows, in which fields; of lists, where first."""
    if isinstance(due, list):
        pairs = enumerate(zip(told, due, strict=False))
        first = next((n for n, (a, b) in pairs if a != b), min(len(told), len(due)))
        here = slice(first, first + 1)
        return f"{len(told)} are not {len(due)}; number {first}: {told[here]} is not {due[here]}"
    if not isinstance(due, tuple) or not hasattr(due, "_fields"):
        return f"{told} is not {due}"
    fields = zip(due._fields, told, due, strict=True)
    return ", ".join(f"{name} {a} is not {b}" for name, a, b in fields if a != b)


def _each(what: str, which: Iterable[Any]) -> Iterator[str]:
    found = sorted(str(each) for each in which)
    if found:
        more = f" and {len(found) - SHOWN_MAX} more" if len(found) > SHOWN_MAX else ""
        yield f"{what}: {', '.join(found[:SHOWN_MAX])}{more}"


def _frozen(fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(fields.items()))
