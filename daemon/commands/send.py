"""``meterd send``."""

import difflib
import json as json_text
import os
import shlex
import textwrap
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from uuid import uuid4

import typer

from daemon.console.common import (
    EXIT_FAILED,
    EXIT_NO_REPLY,
    EXIT_USAGE,
    ConfigOption,
    JsonOption,
    addresses_or_exit,
    fail,
    print_fact,
    print_json,
    print_line,
    redis_or_exit,
    settings_or_exit,
)
from daemon.console.format import print_snapshot
from daemon.console.partition import find_place
from daemon.console.units import moment
from meterd.rules import commands, outcomes
from meterd.rules.field_formats import FLAG_FIELDS
from meterd.rules.redis_keys import Keys

if TYPE_CHECKING:
    import redis

_READ_MAX = 1_000
_READ_S_MAX = 1.0
_PAUSE_S = 0.2
_Raw = Mapping[bytes, bytes]


_TYPES = tuple(name for name in commands.SHAPES if name != "settle")
"""The types that people send; a ``settle`` is the daemon's own."""
_LATEST_ENTRY = f"{10**15 - 1}-0"
"""The latest millisecond that a field can name: whether one is over is for the daemon to say."""
_HELP_WIDTH = 76
_FLAGS = {"true": "1", "false": "0"}
"""How a flag may be typed, besides as it is sent."""


def _types_and_fields() -> str:
    """The commands' table for the help, not to be wrapped again."""
    lines = ["\b", "Types and their fields; those in brackets may be left out:"]
    for name in _TYPES:
        shape = commands.SHAPES[name]
        needs = (field for field in shape.needs if field != "id")
        text = " ".join((f"{name:9}", *needs, *(f"[{field}]" for field in shape.may_have)))
        lines += textwrap.wrap(text, _HELP_WIDTH, subsequent_indent=" " * 10)
    return "\n".join([*lines, "Each may also have: id reply_to user_id"])


app = typer.Typer(add_completion=False)


class _Command(NamedTuple):
    """What goes into the queue: names and values in turn, just as they were typed."""

    id: str
    reply_to: str
    flat: list[str]


@app.command(epilog=_types_and_fields())
def send(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="start, pause, end, top_up, …")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="The command's fields.")
    ] = None,
    json: JsonOption = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Only queue it; don't wait for the reply.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send it as typed; the daemon says what is wrong.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long to wait for the reply.")
    ] = 10.0,
    config: ConfigOption = None,
) -> None:
    """Send one command to the daemon and print its reply.

    It is checked first: what can't be a command is not sent, unless --raw. An id
    is made if none is given.

    Exits 0 when the outcome is ok, 1 on any other, 2 if it can't be a command, 3 if
    no reply came in time: the command may still take effect then, and sending it
    again with the same id is safe.

    For example:

      meterd send top_up user_id=u1 amount=10

      meterd send start chat_id=c1 user_id=u1 advisor_id=a1 rate=1.50

      meterd send adjust user_id=u1 amount=-5 reason=typo

      meterd send adjust user_id=u1 amount=-500 partial=1

      meterd send end chat_id=c1 id=end-of-c1 --json | jq -r .snapshot.cost
    """
    command = _command(type_, fields or [], no_wait)
    if not raw:
        command = command._replace(flat=_with_flags(command.flat))
        _check(command.flat)
    with redis_or_exit(addresses_or_exit(settings_or_exit(config)).redis) as clients:
        keys, added = find_place(clients, _fields(command.flat))
        command = command._replace(flat=[*command.flat, *added])
        sent = _SentCommand(clients.of(keys.partition), keys, command)
        entry = sent.send()
        if no_wait:
            _print_sent(command, entry, json)
            return
        reply = sent.reply(entry, timeout_s)
    if reply is None:
        raise _no_reply(command, entry, timeout_s, json)
    _print_reply(reply, json)
    if reply["outcome"] != outcomes.OK:
        raise typer.Exit(EXIT_FAILED)


def _command(type_: str, fields: list[str], no_wait: bool) -> _Command:
    flat = ["type", type_]
    for field in fields:
        name, equals, value = field.partition("=")
        if not (name and equals):
            raise typer.BadParameter(
                f"{field!r} is not a field; write name=value, as in chat_id=c1",
                param_hint="NAME=VALUE",
            )
        flat += [name, value]
    given = _fields(flat)
    if "id" not in given:
        flat += ["id", uuid4().hex]
    if "reply_to" not in given and not no_wait:
        flat += ["reply_to", uuid4().hex]
    sent = _fields(flat)
    return _Command(sent["id"], sent.get("reply_to", ""), flat)


def _with_flags(flat: list[str]) -> list[str]:
    """With true and false as they are sent."""
    return [
        part
        for name, value in zip(flat[::2], flat[1::2], strict=True)
        for part in (
            name,
            _FLAGS.get(value, value) if name in FLAG_FIELDS else value,
        )
    ]


def _check(flat: list[str]) -> None:
    """Fails if it can't be a command, with the field, and the name that was probably meant."""
    checked = commands.parse_entry(_LATEST_ENTRY, [os.fsencode(part) for part in flat])
    if isinstance(checked, commands.InvalidCommand):
        raise fail(f"Nothing was sent. {checked.reason}{_meant(flat)}", EXIT_USAGE)


def _meant(flat: list[str]) -> str:
    """The name that is nearest to the first one that there is not; empty if none is near."""
    shape = commands.SHAPES.get(flat[1])
    if shape is None:
        wrong, known = flat[1], list(_TYPES)
    else:
        known = [*shape.needs, *shape.may_have, *commands.ALWAYS]
        wrong = next((name for name in flat[::2] if name not in known), "")
    near = difflib.get_close_matches(wrong, known, n=1) if wrong else []
    return f"\nDid you mean {near[0]}?" if near else ""


def _fields(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


class _SentCommand:
    """A command on its way, and the place where its reply will be."""

    def __init__(self, client: "redis.Redis", keys: Keys, command: _Command) -> None:
        self._client = client
        self._keys = keys
        self._command = command
        self._stream = os.fsencode(self._keys.reply(command.reply_to))
        self._after = b"0"

    def send(self) -> str:
        """Queue it; returns its place in the queue."""
        import redis  # noqa: PLC0415 - takes long; the help need not wait for it

        raw = [os.fsencode(part) for part in self._command.flat]
        try:
            self._after = self._last_reply()
            # Not xadd: its mapping would lose a field that was typed twice.
            entry: bytes = self._client.execute_command(  # type: ignore[no-untyped-call]
                "XADD", self._keys.commands, "*", *raw
            )
        except redis.ResponseError as error:
            raise fail(f"Redis refused the command; nothing was sent: {error}") from None
        except redis.RedisError as error:
            raise fail(
                f"Redis did not confirm the command, it may be in the queue: {error}\n"
                f"{_repeat_hint(self._command)}",
                EXIT_NO_REPLY,
            ) from None
        return entry.decode()

    def reply(self, entry: str, timeout_s: float) -> dict[str, Any] | None:
        """The reply; None if there is none in time."""
        import redis  # noqa: PLC0415 - as above

        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                found = self._read(entry, min(left_s, _READ_S_MAX))
            except redis.RedisError:
                time.sleep(min(left_s, _PAUSE_S))  # it may be restarting; the command is safe
                continue
            if found is not None:
                return _readable(found)
        return self._dead_letter(entry)

    def _last_reply(self) -> bytes:
        """Where replies to somebody's own ``reply_to`` end so far."""
        last: Any = self._client.xrevrange(self._stream, count=1)
        return bytes(last[0][0]) if last else b"0"

    def _read(self, entry: str, wait_s: float) -> _Raw | None:
        block_ms = max(1, int(wait_s * 1000))
        read: Any = self._client.xread({self._stream: self._after}, _READ_MAX, block_ms)
        for _, replies in read or ():
            for self._after, fields in replies:
                if fields[b"entry"].decode() == entry:
                    return dict(fields)
        return None

    def _dead_letter(self, entry: str) -> dict[str, Any] | None:
        """Of a command whose ``reply_to`` can't be one, the daemon says here what is wrong."""
        import redis  # noqa: PLC0415 - as above

        try:
            letters: Any = self._client.xrevrange(self._keys.dead, count=_READ_MAX)
        except redis.RedisError:
            return None
        for _, fields in letters:
            if fields.get(b"entry", b"").decode() == entry:
                message = fields[b"reason"].decode()
                return {
                    "id": self._command.id,
                    "outcome": outcomes.INVALID_COMMAND,
                    "message": message,
                    "entry": entry,
                    "replayed": 0,
                }
        return None


def _readable(fields: _Raw) -> dict[str, Any]:
    reply: dict[str, Any] = {k.decode(): v.decode(errors="replace") for k, v in fields.items()}
    reply["replayed"] = int(reply["replayed"])
    if "snapshot" in reply:
        reply["snapshot"] = json_text.loads(reply["snapshot"])
    return reply


def _print_reply(reply: dict[str, Any], json: bool) -> None:
    if json:
        print_json(reply)
        return
    is_ok = reply["outcome"] == outcomes.OK
    print_fact("outcome", reply["outcome"], "green" if is_ok else "red")
    print_fact("message", reply["message"])
    print_fact("id", reply["id"] + (" (handled before: no second effect)" * reply["replayed"]))
    print_fact("entry", f"{reply['entry']} ({moment(int(reply['entry'].partition('-')[0]))})")
    if "snapshot" in reply:
        print_line()
        print_snapshot(reply["snapshot"])


def _print_sent(command: _Command, entry: str, json: bool) -> None:
    if json:
        print_json({"id": command.id, "entry": entry})
        return
    print_fact("queued", entry)
    print_fact("id", command.id)


def _no_reply(command: _Command, entry: str, timeout_s: float, json: bool) -> typer.Exit:
    if json:
        print_json({"id": command.id, "entry": entry, "outcome": None})
    return fail(
        f"No reply within {timeout_s:g} s. The command is in the queue as {entry} and may still "
        f"take effect.\n{_repeat_hint(command)}",
        EXIT_NO_REPLY,
    )


def _repeat_hint(command: _Command) -> str:
    """The same command with the same id, ready to be typed."""
    sent = zip(command.flat[2::2], command.flat[3::2], strict=True)
    fields = [f"{name}={value}" for name, value in sent if name != "reply_to"]
    line = shlex.join(["meterd", "send", command.flat[1], *fields])
    return f"To learn what came of it, send it again with the same id; that is safe:\n  {line}"
