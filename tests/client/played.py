"""Plays a case of ``cases.json``: requests and faults in turn, and what must come of them.

A client is whatever ``begin`` can be called on: see ``PythonClient`` and ``NodeClient``.
"""

import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec
import redis

from loadtests.common.live import LiveDaemon
from loadtests.common.timeouts import scaled
from meterd import MeterError
from tests.client.by_hand import commands, until
from tests.client.typescript.node import Driver, Failed
from tests.proxy import Proxy

CASES: dict[str, list[dict[str, Any]]] = {
    case["name"]: case["steps"]
    for case in json.loads(Path(__file__).with_name("cases.json").read_text("utf-8"))
}
PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
WITHIN_S = 10.0

Json = Any
"""What JSON can hold."""


class Client(Protocol):
    """One client of some language. Requests may overlap; results are JSON, errors ``Failed``."""

    def call(self, method: str, args: Mapping[str, Json], *, enqueue: bool) -> "Future[Json]":
        """Call a method."""

    def follow(self, name: str, after: str, user_id: str | None) -> None:
        """Begin to follow events."""

    def read(self, name: str, count: int) -> "Future[Json]":
        """Read so many of them, or all until the end."""

    def close(self) -> "Future[Json]":
        """Close the client."""


class PythonClient:
    """``Meter``, or ``AsyncMeter`` behind the same face."""

    def __init__(self, meter: Any) -> None:
        self._meter = meter
        self._threads = ThreadPoolExecutor(8)
        self._followed: dict[str, Any] = {}

    def call(self, method: str, args: Mapping[str, Json], *, enqueue: bool) -> "Future[Json]":
        target = self._meter.enqueue if enqueue else self._meter
        return self._begin(lambda: getattr(target, method)(**args))

    def follow(self, name: str, after: str, user_id: str | None) -> None:
        self._followed[name] = self._meter.events(after, user_id).__enter__()

    def read(self, name: str, count: int) -> "Future[Json]":
        events = self._followed[name]
        return self._begin(lambda: {"events": list(islice(events, count)), "after": events.after})

    def close(self) -> "Future[Json]":
        return self._begin(self._meter.close)

    def _begin(self, call: Any) -> "Future[Json]":
        return self._threads.submit(_as_json, call)


class NodeClient:
    """The client in TypeScript, in a process of Node.js."""

    def __init__(self, driver: Driver, name: str, url: str) -> None:
        self._driver = driver
        self._name = name
        driver.ask("make", meter=name, url=url)

    def call(self, method: str, args: Mapping[str, Json], *, enqueue: bool) -> "Future[Json]":
        return self._driver.begin(
            "call", meter=self._name, method=method, args=args, enqueue=enqueue
        )

    def follow(self, name: str, after: str, user_id: str | None) -> None:
        self._driver.ask("follow", meter=self._name, name=name, after=after, user_id=user_id)

    def read(self, name: str, count: int) -> "Future[Json]":
        return self._driver.begin("read", name=name, count=count)

    def close(self) -> "Future[Json]":
        return self._driver.begin("close", meter=self._name)


class Play:
    """One case on one client behind one proxy."""

    def __init__(self, client: Client, proxy: Proxy, queue: redis.Redis, me: str) -> None:
        self._client = client
        self._proxy = proxy
        self._queue = queue
        self._me = me
        self._begun: dict[str, Future[Json]] = {}
        self._saved: dict[str, Json] = {"me": me}

    def step(self, step: Mapping[str, Json]) -> None:
        """Do one step and check what came of it."""
        step = self._filled(step)
        if "fault" in step:
            self._fault(step)
        elif "pause_s" in step:
            time.sleep(step["pause_s"])
        elif "until_queued" in step:
            until(lambda: len(self._sent()) >= step["until_queued"])
        elif "queue" in step:
            self._check_queue(step)
        elif "follow" in step:
            self._client.follow(step["follow"], step.get("after", "$"), step.get("user_id"))
        else:
            self._request(step)

    def _fault(self, step: Mapping[str, Json]) -> None:
        if step["fault"] == "lose":
            self._proxy.lose(step["times"], step["word"].encode())
        else:
            getattr(self._proxy, step["fault"])()

    def _request(self, step: Mapping[str, Json]) -> None:
        if "begin" in step:
            self._begun[step["begin"]] = self._begin(step)
            return
        started = time.monotonic()
        future = self._begun.pop(step["finish"]) if "finish" in step else self._begin(step)
        within_s = scaled(step.get("within_s", WITHIN_S))
        error = future.exception(scaled(30))
        said = error.said if isinstance(error, Failed) else future.result()
        assert time.monotonic() - started < within_s
        assert ("fails" in step) == isinstance(error, Failed), said
        _check(said, step.get("fails", step.get("gives", said)))
        self._saved[step.get("save", "last")] = said

    def _begin(self, step: Mapping[str, Json]) -> "Future[Json]":
        if "read" in step:
            return self._client.read(step["read"], step["count"])
        if "close" in step:
            return self._client.close()
        return self._client.call(step["do"], step["with"], enqueue=step.get("enqueue", False))

    def _check_queue(self, step: Mapping[str, Json]) -> None:
        """How many entries there are of this case, of how many ids, and how many ask for replies.

        ``lost``: as many as the attempts that the proxy has counted.
        """
        sent = self._sent()
        number = self._proxy.lost if step["queue"] == "lost" else step["queue"]
        assert len(sent) == number
        assert step.get("at_least", 0) <= number <= step.get("at_most", number)
        if "ids" in step:
            assert len({fields["id"] for fields in sent}) == step["ids"]
            assert len({tuple(sorted(fields.items())) for fields in sent}) == step["ids"]
        if "asking" in step:
            assert sum("reply_to" in fields for fields in sent) == step["asking"]

    def _sent(self) -> list[dict[str, str]]:
        return [
            fields
            for _, fields in commands(self._queue)
            if self._me in (fields.get("user_id"), fields.get("chat_id"))
            and fields["type"] != "settle"
        ]

    def _filled(self, value: Json) -> Json:
        """The same with what was saved in the place of its names."""
        if isinstance(value, str):
            whole = PLACEHOLDER.fullmatch(value)
            if whole:
                return self._value(whole[1])
            return PLACEHOLDER.sub(lambda match: str(self._value(match[1])), value)
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return value

    def _value(self, path: str) -> Json:
        name, *fields = path.split(".")
        value = self._saved[name]
        for field in fields:
            value = value[field]
        return value


def play_case(case: str, live: LiveDaemon, proxy: Proxy, client: Client, me: str) -> None:
    """Play a case of the table against a daemon, with users and chats that begin with ``me``."""
    with live.client() as queue:
        play = Play(client, proxy, queue, me)
        for step in CASES[case]:
            play.step(step)


def _as_json(call: Any) -> Json:
    try:
        return msgspec.to_builtins(call())
    except (MeterError, TypeError, ValueError) as error:
        said = {name: getattr(error, name, None) for name in ("id", "entry", "outcome", "reply")}
        said |= {"error": type(error).__name__, "message": str(error)}
        raise Failed(msgspec.to_builtins(said)) from error


def _check(said: Json, wanted: Json, place: str = "") -> None:
    """What was said has all that is wanted, and may have more fields."""
    if isinstance(wanted, dict):
        assert isinstance(said, dict), f"{place}: {said!r}"
        for name, value in wanted.items():
            assert name in said, f"{place}.{name} is missing in {said!r}"
            _check(said[name], value, f"{place}.{name}")
    elif isinstance(wanted, list):
        assert len(said) == len(wanted), f"{place}: {said!r}"
        for number, value in enumerate(wanted):
            _check(said[number], value, f"{place}[{number}]")
    else:
        assert said == wanted, f"{place}: {said!r} instead of {wanted!r}"
