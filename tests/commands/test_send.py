"""``meterd send``: what was typed reaches the queue, and its reply reaches the person."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadtests.common.live import KEYS, LiveDaemon
from meterd.rules.commands import SHAPES
from persistence.redis.client import connect
from tests.commands.elsewhere import run
from tests.servers import redis_server
from tests.shared_daemon import nothing_sent

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]


def test_a_reply_with_its_snapshot(live: LiveDaemon, name: str) -> None:
    """As lines for a person; an id is made."""
    sent = live.run("send", "top_up", f"user_id={name}", "amount=12.5")
    assert sent.returncode == 0, sent.stderr
    facts = dict(line.split(None, 1) for line in sent.stdout.splitlines() if line)
    assert facts["outcome"] == "ok"
    assert facts["balance"] == "12.500000 credits"
    assert facts["id"]
    assert "\x1b" not in sent.stdout


def test_an_adjustment_by_hand(live: LiveDaemon, name: str) -> None:
    """An amount with a minus is typed as it is; more than is there fails."""
    assert live.run("send", "top_up", f"user_id={name}", "amount=7").returncode == 0
    adjust = ("send", "adjust", f"user_id={name}", "reason=typo", "--json")
    taken = json.loads(live.run(*adjust, "amount=-5").stdout)
    assert (taken["outcome"], taken["snapshot"]["balance"]) == ("ok", "2.000000")
    refused = live.run(*adjust, "amount=-5")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["outcome"] == "insufficient_credits"


@pytest.mark.parametrize(("typed", "sent"), [("true", "1"), ("false", "0"), ("1", "1"), ("0", "0")])
def test_a_flag_is_sent_as_the_contract_has_it(tmp_path: Path, typed: str, sent: str) -> None:
    """However it is typed; a reason may be any word, and --raw sends what was typed."""
    adjust = ("send", "adjust", "user_id=u", "amount=1", "reason=true", f"partial={typed}")
    with redis_server() as url:
        for args in (adjust, (*adjust, "--raw")):
            run(tmp_path, *args, "--no-wait", METERD_REDIS__URL=url)
        with contextlib.closing(connect(url)) as client:
            entries: Any = client.xrange(KEYS.commands)
    found = [(fields[b"partial"].decode(), fields[b"reason"]) for _, fields in entries]
    assert found == [(sent, b"true"), (typed, b"true")]


def test_the_help_shows_how_to_take_what_there_is(tmp_path: Path) -> None:
    """The flag stands in an example."""
    assert "partial=1" in run(tmp_path, "send", "--help").stdout.partition("Types and")[0]


def test_a_reply_for_a_program(live: LiveDaemon, name: str) -> None:
    """All fields of the contract; the same id again has no second effect."""
    args = ("send", "top_up", f"user_id={name}", "amount=3", f"id={name}-t", "--json")
    first, second = json.loads(live.run(*args).stdout), json.loads(live.run(*args).stdout)
    assert set(first) == {"id", "outcome", "message", "entry", "replayed", "snapshot"}
    assert (first["id"], first["outcome"], first["replayed"]) == (f"{name}-t", "ok", 0)
    assert (second["outcome"], second["replayed"]) == ("ok", 1)
    assert second["snapshot"]["balance"] == "3.000000"


def test_a_refusal_fails(live: LiveDaemon, name: str) -> None:
    """With exit code 1, also as JSON."""
    sent = live.run("send", "pause", f"chat_id={name}", "--json")
    assert sent.returncode == 1
    assert json.loads(sent.stdout)["outcome"] == "unknown_chat"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("dance", "chat_id=c"), "type: 'dance' is not one of"),
        (("pause", "chat_id=c", "colour=red"), "'colour': pause has no such field"),
        (("pause", "chat_id=c", "chat_id=d"), "'chat_id': the field is there twice"),
        (("pause", "chat_id=c", "reply_to=a b", "--timeout-s=2"), "reply_to: 'a b' won't do"),
        (("start", "chat_id="), "user_id: missing"),
    ],
)
def test_the_daemon_says_what_is_wrong(live: LiveDaemon, args: tuple[str, ...], named: str) -> None:
    """With --raw nothing is checked here: it goes into the queue as typed and into ``dead``."""
    sent = live.run("send", *args, "--raw", "--json")
    assert sent.returncode == 1
    reply = json.loads(sent.stdout)
    assert reply["outcome"] == "invalid_command"
    assert named in reply["message"]
    with live.client() as client:
        dead = client.xrevrange(KEYS.dead, count=1)
    assert dead[0][1][b"entry"].decode() == reply["entry"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("strat", "chat_id=c"), ("type: 'strat'", "Did you mean start?")),
        (("pause", "chatid=c"), ("'chatid': pause has no such field", "Did you mean chat_id?")),
        (("pause", "chat_id=c", "chat_id=d"), ("'chat_id': the field is there twice",)),
        (("adjust", "user_id=u", "amount=1", "partial=yes"), ("partial: 'yes' won't do",)),
        (("top_up", "user_id=u", "amount=1,5"), ("amount: '1,5' is not an amount of credits",)),
        (("end", "chat_id=\x1b[31m"), (r"chat_id: '\x1b[31m' is not an identifier",)),
        (("end", b"chat_id=\xff".decode(errors="surrogateescape")), ("is not UTF-8",)),
    ],
)
def test_a_typo_is_not_sent(
    live: LiveDaemon, args: tuple[str, ...], named: tuple[str, ...]
) -> None:
    """The error names the field and the name that was meant; nothing gets into the queue."""
    with nothing_sent(live):
        sent = live.run("send", *args)
    assert (sent.returncode, sent.stdout) == (2, "")
    assert all(text in sent.stderr for text in named)


def test_the_help_lists_every_type_with_its_fields(tmp_path: Path) -> None:
    """As the rules have them."""
    asked = run(tmp_path, "send", "--help")
    listed = asked.stdout.partition("Types and their fields")[2]
    by_type = re.split(r"\n  (?=[a-z_]+ )", listed)[1:]
    found = {text.split()[0]: set(re.findall(r"[a-z_]+", text)) for text in by_type}
    for name, shape in SHAPES.items():
        if name != "settle":
            assert found[name] >= {name, *shape.needs, *shape.may_have} - {"id"}
    assert "settle" not in found


def test_a_reply_is_found_among_others(live: LiveDaemon, name: str) -> None:
    """A ``reply_to`` of one's own is used, however many replies are there."""
    args = ("send", "top_up", f"user_id={name}", f"reply_to={name}", "--json")
    replies = [json.loads(live.run(*args, f"amount={amount}").stdout) for amount in (1, 2)]
    assert [reply["snapshot"]["balance"] for reply in replies] == ["1.000000", "3.000000"]
    with live.client() as client:
        assert client.xlen(KEYS.reply(name)) == 2


@pytest.mark.parametrize("field", ["chat_id", "=c", ""])
def test_what_is_no_field_is_named(live: LiveDaemon, field: str) -> None:
    """A usage error; nothing is sent."""
    with nothing_sent(live):
        sent = live.run("send", "pause", field)
    assert sent.returncode == 2
    assert f"'{field}' is not a field" in sent.stderr


def test_without_waiting(live: LiveDaemon, name: str) -> None:
    """It is in the queue as the entry that is printed, and asks for no reply."""
    sent = live.run("send", "top_up", f"user_id={name}", "amount=1", "--no-wait", "--json")
    assert sent.returncode == 0
    queued = json.loads(sent.stdout)
    with live.client() as client:
        ((_, fields),) = client.xrange(KEYS.commands, queued["entry"], queued["entry"])
    assert fields[b"id"].decode() == queued["id"]
    assert b"reply_to" not in fields


def test_no_reply_in_time(tmp_path: Path, name: str) -> None:
    """Exit code 3, the id, and the line to be typed to learn what came of it."""
    args = ("send", "top_up", f"user_id={name}", "amount=1", "--timeout-s=0.2", "--json")
    with redis_server() as url:
        sent = run(tmp_path, *args, METERD_REDIS__URL=url)
    assert sent.returncode == 3
    queued = json.loads(sent.stdout)
    assert queued["outcome"] is None
    assert f"meterd send top_up user_id={name} amount=1 id={queued['id']}" in sent.stderr
