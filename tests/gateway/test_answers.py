"""What is read over HTTP is what the daemon, the command line and the books say."""

import json
from decimal import Decimal
from typing import Any

import pytest

from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import Gateway
from tests.shared_daemon import keys_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

RATE = "60"


@pytest.fixture
def running(gateway: Gateway, name: str) -> str:
    """A running chat of a user with 100 credits and an advisor, all of the same name."""
    gateway.do("top_up", user_id=name, amount="100")
    gateway.do("start", chat_id=name, user_id=name, advisor_id=name, rate=RATE)
    return name


def test_a_chat_is_its_snapshot_with_the_wallet_that_pays_for_it(
    gateway: Gateway, running: str
) -> None:
    told = gateway.read(f"/v1/chats/{running}", running)
    assert (told["read_from"], told["chat_source"]) == ("redis", "live")
    assert (told["source"], told["status"], told["rate"]) == ("live", "running", "60.000000")
    wallet = gateway.read(f"/v1/users/{running}/wallet", running)
    assert told["wallet"] == {
        k: v for k, v in wallet.items() if k not in ("now", "source", "read_from")
    }
    assert [burner["chat_id"] for burner in told["wallet"]["running"]] == [running]
    assert 0 <= told["now"] - told["as_of"] < 60_000


def test_now_is_the_clock_of_the_queue(gateway: Gateway, live: LiveDaemon, running: str) -> None:
    """As far as asking for it can tell: it is asked for now and then, and that takes a while."""
    with live.client() as client:
        before, told, after = (
            client.time(),
            gateway.read(f"/v1/chats/{running}", running),
            client.time(),
        )
    first, last = (seconds * 1000 + us / 1000 for seconds, us in (before, after))
    assert first - 500 <= told["now"] <= last + 500


def test_a_chat_is_as_each_command_leaves_it(gateway: Gateway, running: str) -> None:
    """And as the reply to it said; a chat that does not run burns nothing."""
    for command, status, burners in (
        ("pause", "paused", 0),
        ("resume", "running", 1),
        ("end", "ended", 0),
    ):
        snapshot = gateway.do(command, chat_id=running)["snapshot"]
        told = gateway.read(f"/v1/chats/{running}", running)
        assert {field: told[field] for field in snapshot} == snapshot
        assert (told["status"], len(told["wallet"]["running"])) == (status, burners)


def test_an_advisor_sees_the_same_without_the_wallet(gateway: Gateway, running: str) -> None:
    told = gateway.read(f"/v1/chats/{running}", running)
    seen = gateway.read(f"/v1/chats/{running}", running, "advisor")
    assert seen["wallet"] is None
    assert {**seen, "now": 0} == {**told, "now": 0, "wallet": None}


def test_after_redis_forgets_a_chat_the_record_tells_the_same(
    gateway: Gateway, live: LiveDaemon, running: str
) -> None:
    """A day after its end; to its user with the wallet as it is now."""
    gateway.do("end", chat_id=running)
    live.until_handled()
    before = gateway.read(f"/v1/chats/{running}", running)
    with live.client() as client:
        client.pexpire(keys_of(running).chat(running), 1)
        live.until(lambda: not client.exists(keys_of(running).chat(running)))
    after = gateway.read(f"/v1/chats/{running}", running)
    assert (before["source"], after["source"]) == ("live", "record")
    assert (before["read_from"], after["read_from"]) == ("redis", "postgres")
    volatile = {"now": 0, "source": "", "read_from": ""}
    assert {**after, **volatile} == {**before, **volatile}
    assert gateway.read(f"/v1/chats/{running}", "a-stranger")["source"] == "none"
    history = gateway.read(f"/v1/chats/{running}/history", running)["history"]
    assert history[-1]["event"] == "chat.ended"


@pytest.mark.parametrize("chat_id", ["never", "a%2Fb", "a/b", "é", "a b", "\0", "a" * 500, "%"])
def test_a_chat_that_never_started_is_an_answer(gateway: Gateway, chat_id: str) -> None:
    """Whatever it is called; so is the history of one."""
    path = f"/v1/chats/{_quoted(chat_id)}"
    told = gateway.read(path, "somebody")
    assert (told["chat_id"], told["status"], told["source"]) == (chat_id, "not_started", "none")
    assert (told["wallet"], told["read_from"], told["chat_source"]) == (None, "none", None)
    history = gateway.read(f"{path}/history", "somebody")
    assert (history["chat_id"], history["history"], history["next"]) == (chat_id, [], None)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_an_identifier_may_have_slashes(gateway: Gateway, running: str) -> None:
    chat_id, user_id = f"{running}/a/b", f"u/{running}"
    gateway.do("top_up", user_id=user_id, amount="7")
    gateway.do("start", chat_id=chat_id, user_id=user_id, advisor_id="v", rate="0")
    told = gateway.read(f"/v1/chats/{_quoted(chat_id)}", user_id)
    assert (told["chat_id"], told["status"]) == (chat_id, "running")
    wallet = gateway.read(f"/v1/users/{_quoted(user_id)}/wallet", user_id)
    assert wallet["balance"] == "7.000000"


def test_a_history_is_the_story_that_the_command_line_tells(
    gateway: Gateway, live: LiveDaemon, running: str
) -> None:
    """Refused and repeated commands, and what happened to the account, included."""
    gateway.post({"type": "resume", "chat_id": running})
    gateway.do("pause", chat_id=running, id=f"{running}-p")
    gateway.do("pause", chat_id=running, id=f"{running}-p")
    gateway.do("top_up", user_id=running, amount="1")
    gateway.do("end", chat_id=running)
    live.until_handled()
    history = json.loads(live.run("chat", running, "--json").stdout)["history"]
    told = gateway.read(f"/v1/chats/{running}/history", running)
    assert told["history"] == history
    assert told["archived_until"] is None
    events = [line["event"] for line in history]
    assert {"refused", "repeated", "wallet.topped_up", "chat.ended"} <= set(events)
    pages = _pages(gateway, f"/v1/chats/{running}/history", "history", running, limit=2)
    assert [line for page in pages for line in page] == history
    assert all(len(page) <= 2 for page in pages)


def test_an_advisors_history_has_nothing_of_the_account(
    gateway: Gateway, live: LiveDaemon, running: str
) -> None:
    gateway.do("top_up", user_id=running, amount="1")
    gateway.do("end", chat_id=running)
    live.until_handled()
    path = f"/v1/chats/{running}/history"
    whole = gateway.read(path, running)["history"]
    seen = gateway.read(path, running, "advisor")["history"]
    assert seen == [line for line in whole if not line["event"].startswith(("wallet.", "credits."))]
    assert len(seen) < len(whole)


def test_a_ledger_has_every_movement_and_adds_up_to_the_balance(
    gateway: Gateway, live: LiveDaemon, running: str
) -> None:
    """Newest first, page by page."""
    gateway.do("top_up", user_id=running, amount="0.5", id=f"{running}-more")
    ended = gateway.do("end", chat_id=running)["snapshot"]
    if Decimal(ended["cost"]):
        gateway.do("refund", chat_id=running, amount="0.000001")
    live.until_handled()
    path = f"/v1/users/{running}/ledger"
    entries = [e for page in _pages(gateway, path, "entries", running, limit=1) for e in page]
    assert gateway.read(path, running)["entries"] == entries
    assert [e["at"] for e in entries] == sorted((e["at"] for e in entries), reverse=True)
    assert {"top_up", "charge", "refund"} == {e["kind"] for e in entries}
    assert f"{running}-more" in {e["command_id"] for e in entries}
    wallet = gateway.read(f"/v1/users/{running}/wallet", running)
    assert sum(Decimal(e["amount"]) for e in entries) == Decimal(wallet["balance"])


def _pages(gateway: Gateway, path: str, items: str, sub: str, **query: Any) -> list[list[Any]]:
    """All pages of a list, by ``next``."""
    pages: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = gateway.read(path, sub, **query, **after)
        pages.append(page[items])
        if page["next"] is None:
            return pages
        after = {"after": page["next"]}


def test_a_user_without_an_account_has_nothing(gateway: Gateway, name: str) -> None:
    wallet = gateway.read(f"/v1/users/{name}/wallet", name)
    assert (wallet["balance"], wallet["as_of"], wallet["running"]) == ("0.000000", None, [])
    assert gateway.read(f"/v1/users/{name}/ledger", name)["entries"] == []
    assert gateway.read("/v1/chats", name)["chats"] == []


def test_with_rate_says_until_when_the_account_would_last(gateway: Gateway, name: str) -> None:
    """With one more chat, from now; a free one burns nothing, and nobody's credits last 0 ms."""
    path = f"/v1/users/{name}/wallet"
    assert gateway.read(path, name, with_rate=RATE)["what_if"]["left_ms"] == 0
    gateway.do("top_up", user_id=name, amount="10")
    told = gateway.read(path, name, with_rate=RATE)
    assert told["what_if"]["rate"] == "60.000000"
    assert told["what_if"]["left_ms"] == 10_000
    assert told["what_if"]["zero_at"] - told["now"] == pytest.approx(10_000, abs=50)
    free = gateway.read(path, name, with_rate="0")["what_if"]
    assert (free["zero_at"], free["left_ms"]) == (None, None)
    assert "what_if" not in gateway.read(path, name)


@pytest.mark.parametrize("rate", ["", "x", "-1", "1e3", "1.0000001", "9999999999", "\0", "é"])
def test_with_rate_wants_a_rate(gateway: Gateway, name: str, rate: str) -> None:
    answer = gateway.get(f"/v1/users/{name}/wallet", name, with_rate=rate)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["with_rate"]
