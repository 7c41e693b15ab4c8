"""Commands of every type as entries, whole and altered, and whether they are refused."""

from meterd.rules.commands import Command, InvalidCommand, parse_entry
from tests.rules.strategies import flat

NOW = 1_700_000_000_000
ENTRY = f"{NOW}-3"
WHOLE: dict[str, dict[str, str]] = {
    "start": {"id": "i", "chat_id": "c", "user_id": "u", "advisor_id": "v"},
    "adopt": {
        "id": "i", "chat_id": "c", "user_id": "u", "advisor_id": "v",
        "started_at": str(NOW - 50), "carried_ms": "50", "carried_cost": "1.5",
    },
    "pause": {"id": "i", "chat_id": "c"},
    "resume": {"id": "i", "chat_id": "c"},
    "heartbeat": {"id": "i", "chat_id": "c"},
    "set_rate": {"id": "i", "chat_id": "c", "rate": "2"},
    "end": {"id": "i", "chat_id": "c"},
    "top_up": {"id": "i", "user_id": "u", "amount": "2"},
    "refund": {"id": "i", "chat_id": "c", "amount": "2"},
    "adjust": {"id": "i", "user_id": "u", "amount": "-2"},
    "settle": {"user_id": "u"},
}  # fmt: skip
"""Of every type, a command with what it needs and no more."""
TARIFF = {
    "rate": "0", "free_ms": "0", "free_scope": "advisor", "min_ms": "0", "increment_ms": "1",
    "increment_due": "end", "idle_ms": "0", "abandon_ms": "0", "max_ms": "0",
}  # fmt: skip
MAY_HAVE = {
    "start": TARIFF,
    "adopt": TARIFF | {"carried_free_ms": "0"},
    "end": {"reason": "r"},
    "refund": {"reason": "r"},
    "adjust": {"reason": "r", "partial": "1"},
}
EVERY_FIELD = {
    name: value for fields in [*WHOLE.values(), *MAY_HAVE.values()]
    for name, value in fields.items()
}  # fmt: skip


def parse(fields: dict[str, str], entry: str = ENTRY) -> Command | InvalidCommand:
    """What an entry with these fields is."""
    return parse_entry(entry, flat(fields))


def whole(name: str, **more: str) -> dict[str, str]:
    """A command of a type, with what it needs and what is given."""
    return {"type": name} | WHOLE[name] | more


def check_refused(fields: dict[str, str], name: str) -> None:
    """It is invalid, the message begins with the field, and what was sent is kept."""
    answer = parse(fields)
    assert isinstance(answer, InvalidCommand)
    assert answer.reason.startswith((f"{name}:", f"{name!r}:"))
    assert answer.reason.isascii()
    assert answer.reason.isprintable()
    assert answer.fields == {k: v.replace("\x00", "\\x00") for k, v in fields.items()}


def carriers(*names: str) -> list[tuple[str, str]]:
    """Every type with every one of these fields that it needs or may have."""
    return [
        (kind, name)
        for kind in WHOLE
        for name in names
        if name in WHOLE[kind] or name in MAY_HAVE.get(kind, {})
    ]
