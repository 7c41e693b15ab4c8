"""examples/node-backend/ on the real daemon: its routes, and its feed over restarts and a crash."""

import hashlib
import hmac
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from meterd import Meter
from tests.examples.running import Example, Run, copy_checkout, free_port
from tests.shared_daemon import keys_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray, pytest.mark.timeout(180)]

SECRET = b"secret"  # as in the README's command
_AFTER = re.compile(r"feed goes on after (\S+)")


class Backend:
    """The example as its callers see it."""

    def __init__(self, run: Run, url: str) -> None:
        self.run = run
        self._url = url

    @property
    def after(self) -> str:
        """The place from which its feed goes on."""
        (after,) = _AFTER.findall(self.run.output)
        return str(after)

    def post(self, path: str, **fields: str) -> tuple[int, Any]:
        """Status and answer of a request, signed as a payment provider does."""
        body = json.dumps(fields).encode()
        signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        return self.send(path, body, signature)

    def send(self, path: str, body: bytes, signature: str) -> tuple[int, Any]:
        """The same of any body with any signature."""
        headers = {"X-Signature": signature}
        answer = httpx.post(self._url + path, content=body, headers=headers, timeout=scaled(15.0))
        return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, live: LiveDaemon) -> Example:
    """The example, installed."""
    example = Example("node-backend", copy_checkout(tmp_path_factory.mktemp("checkout")), live)
    example.install()
    return example


@contextmanager
def backend(example: Example, feed: Path) -> Iterator[Backend]:
    """The example in a process of its own."""
    port = free_port()
    with example.running(
        lambda said: bool(_AFTER.search(said)), PORT=str(port), FEED=str(feed)
    ) as run:
        yield Backend(run, f"http://127.0.0.1:{port}")


def happened(live: LiveDaemon, user: str) -> list[tuple[str, str | None, int]]:
    """All events of a user, as they are in the queue."""
    with live.client() as client:
        entries: list[Any] = client.xrange(keys_of(user).events)
    events = [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in entries]
    return [_facts(event) for event in events if event["user_id"] == user]


def written(feed: Path, user: str) -> list[tuple[str, str | None, int]]:
    """All events of a user, as they are in the feed."""
    events = [json.loads(line) for line in feed.read_text("utf-8").splitlines()]
    return [_facts(event) for event in events if event["user_id"] == user]


def _facts(event: dict[str, Any]) -> tuple[str, str | None, int]:
    return event["event"], event.get("chat_id"), int(event["seq"])


def until_written(live: LiveDaemon, feed: Path, user: str) -> list[tuple[str, str | None, int]]:
    """Wait until the feed has all that has happened; each event once, in order."""
    deadline = time.monotonic() + scaled(15.0)
    while (found := written(feed, user)) != happened(live, user):
        assert time.monotonic() < deadline, (found, happened(live, user))
        time.sleep(0.05)
    return found


def last_id(feed: Path) -> str:
    """The id of the last whole line."""
    line = feed.read_text("utf-8").rpartition("\n")[0].splitlines()[-1]
    return str(json.loads(line)["id"])


def test_the_feed_goes_on_after_restarts_and_a_crash(
    example: Example, live: LiveDaemon, name: str, tmp_path: Path
) -> None:
    """Whatever happens meanwhile, it has each event once, and starts after its last one."""
    feed = tmp_path / "feed.jsonl"
    first, second = f"{name}-1", f"{name}-2"
    with backend(example, feed) as one:
        assert one.after == "0"
        assert one.post("/payments", id=name, user_id=name, amount="100")[0] == 200
        start = {
            "id": f"{name}-s",
            "chat_id": first,
            "user_id": name,
            "advisor_id": "bob",
            "rate": "6",
        }
        assert one.post("/start", **start)[1]["status"] == "running"
        until_written(live, feed, name)
        assert one.run.stop() == 0
    last = last_id(feed)
    with Meter(live.redis_url) as meter:
        meter.start(second, name, "bob", rate="6")
        meter.pause(second)
    with backend(example, feed) as two:
        assert two.after == last
        until_written(live, feed, name)
        switch = {"id": f"{name}-x", "from": first, "to": second, "user_id": name}
        assert two.post("/switch", **switch)[1]["status"] == "running"
        until_written(live, feed, name)
        two.run.stop(signal.SIGKILL)
    last = last_id(feed)
    with feed.open("a") as cut:
        cut.write('{"id":"99999')  # as a crash leaves it
    with backend(example, feed) as three:
        assert three.after == last
        for number, chat in enumerate((first, second)):
            end = {"id": f"{name}-e{number}", "chat_id": chat, "user_id": name}
            assert three.post("/end", **end)[1]["status"] == "ended"
        events = until_written(live, feed, name)
    assert [event for event, chat, _ in events if chat == first] == [
        "chat.started", "chat.paused", "chat.ended",
    ]  # fmt: skip
    assert live.run("audit", timeout_s=120).returncode == 0


def test_a_payment_counts_once_and_only_signed(
    example: Example, live: LiveDaemon, name: str, tmp_path: Path
) -> None:
    """Repeated it is answered and has no effect; errors have the status of their kind."""
    payment = {"id": name, "user_id": name, "amount": "5"}
    with backend(example, tmp_path / "feed.jsonl") as one:
        assert one.post("/payments", **payment) == (200, {"replayed": False})
        assert one.post("/payments", **payment) == (200, {"replayed": True})
        assert one.send("/payments", json.dumps(payment).encode(), "0" * 64)[0] == 401
        start = {"chat_id": name, "user_id": name, "advisor_id": "bob", "rate": "999999"}
        status, answer = one.post("/start", id=f"{name}-s", **start)
        assert (status, answer["code"]) == (402, "insufficient_credits")
        status, answer = one.post("/end", id=f"{name}-e", chat_id=name, user_id=name)
        assert (status, answer["code"]) == (404, "unknown_chat")
        assert one.post("/end", chat_id=name)[1]["code"] == "no_id"
        assert one.post("/end", id=f"{name}-i")[1]["code"] == "invalid_command"
        assert one.send("/end", b"no json", "")[0] == 400
        assert one.send("/end", b" " * 100_000, "")[0] == 413
        assert one.post("/nowhere")[0] == 404
    with Meter(live.redis_url) as meter:
        assert meter.wallet(name).balance == 5
