"""What tests of the pages do without a page: commands, tokens, questions to the API."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from daemon.gateway.tokens import mint
from loadtests.common.live import METERD, LiveDaemon
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us
from meterd import Meter

TIMEOUT_S = scaled(15.0)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Of chromium."""


def find_chromium() -> str | None:
    """The browser's path: as METERD_TEST_CHROMIUM says, else the one on the PATH."""
    return os.environ.get("METERD_TEST_CHROMIUM") or shutil.which("chromium")


def chromium_or_skip() -> str:
    """The browser's path. Without one the test skips, or fails where a browser is required."""
    path = find_chromium()
    if path is None:
        why = "no chromium was found; name one in METERD_TEST_CHROMIUM"
        if os.environ.get("METERD_TEST_REQUIRE_CHROMIUM"):
            pytest.fail(why)
        pytest.skip(why)
    return path


@contextlib.contextmanager
def launched(path: str) -> Iterator[Browser]:
    """One process; Playwright gives it a user-data-dir of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


SECRET = "of these tests alone, and long enough"
# A browser says in its console that an answer was an error or did not come. That is what these
# tests bring about; what pages make of it is asserted where it happens.
_ANSWERS = "Failed to load resource"

_NUMBERS = itertools.count()
KEEP_CHANGES = """() => {
  globalThis.changes = [];
  document.addEventListener("meterd-change", ({ detail }) => globalThis.changes.push(detail));
}"""


class Desk:
    """The daemon as a backend and an operator see it."""

    def __init__(self, live: LiveDaemon) -> None:
        self.live = live
        self.url = str(live.status()["http_url"])
        self.meter = Meter(live.redis_url)
        self._client = live.client()
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT_S)
        self._tokens: dict[tuple[str, ...], str] = {}

    def __enter__(self) -> "Desk":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.close()
        self._client.close()
        self.meter.close()

    def new(self) -> str:
        """A name that nobody had before."""
        return f"n{next(_NUMBERS)}"

    def token(self, sub: str, *roles: str, ttl_s: int = 3_600) -> str:
        """A token such as ``meterd token`` prints, without a process for each."""
        asked = (sub, *roles, str(ttl_s))
        if asked not in self._tokens:
            self._tokens[asked] = mint(SECRET, "meterd", sub, list(roles) or ["user"], ttl_s)
        return self._tokens[asked]

    def link(self, path: str, sub: str, *roles: str) -> str:
        """A link as ``meterd token --link`` prints it."""
        wanted = itertools.chain(*(("--role", role) for role in roles))
        done = self.live.run("token", sub, *wanted, "--link", path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """What the API answers to an operator."""
        headers = {"Authorization": f"Bearer {self.token('ops', 'ops')}"}
        answer = self._http.get(path, headers=headers, params=parameters)
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, **fields: object) -> dict[str, Any]:
        """What the API answers to an admin; a refusal is an answer too."""
        headers = {"Authorization": f"Bearer {self.token('alice', 'admin')}"}
        found: dict[str, Any] = self._http.post(path, headers=headers, json=fields).json()
        return found

    def now_ms(self) -> int:
        """The queue's clock."""
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def spoil(self, **fields: str) -> None:
        """Put something into the queue that is no command."""
        self._client.xadd("meterd:{0}:commands", fields)  # type: ignore[arg-type]

    def forget(self, chat: str) -> None:
        """Let a day pass after the end of a chat: its snapshot leaves Redis."""
        assert self._client.delete(f"meterd:{{0}}:chat:{chat}") == 1

    def start(self, user: str, chat: str, rate: str = "6", credits_: str | None = "10") -> None:
        """A running chat, on an account with so many credits more."""
        if credits_ is not None:
            self.meter.top_up(user, credits_)
        self.meter.start(chat, user, "adele", rate=rate, increment_ms=1, free_ms=0, min_ms=0)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def gateway(desk: Desk, port: int) -> Iterator[None]:
    """Another gateway on the same servers, for pages of the first one's origin."""
    env = {**desk.live.env, "METERD_HTTP__PORT": str(port)}
    env["METERD_HTTP__CORS_ORIGINS"] = desk.url
    process = subprocess.Popen(
        [METERD, "gateway"], env=env, cwd=desk.live.home.parent, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end_with_us(process.pid)
    try:
        until(lambda: process.poll() is None and _answers(port), "the gateway does not answer")
        yield
    finally:
        process.terminate()
        process.wait(timeout=TIMEOUT_S)


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    return False


def until(holds: Callable[[], bool], why: str) -> None:
    """Wait until something holds that no page can tell."""
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def listen(page: Page, troubles: list[str]) -> None:
    """Note what a page complains of: errors, and what its Content-Security-Policy refused."""

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_ANSWERS):
            troubles.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: troubles.append(str(error)))


CLOCK = """async ({ chat, tokens, attributes }) => {
  await import("/static/meterd-clock.js");
  const clock = document.createElement("meterd-clock");
  clock.setAttribute("chat", chat);
  for (const [name, value] of Object.entries(attributes)) clock.setAttribute(name, value);
  const last = tokens.length - 1;
  let next = 0;
  clock.token = last ? async () => tokens[Math.min(next++, last)] : tokens[0];
  document.querySelector("main").prepend(clock);
}"""


def put_clock(page: Page, chat: str, *tokens: str, **attributes: str) -> None:
    """A clock on a page; of several tokens it gets the next one each time that it asks."""
    page.evaluate(CLOCK, {"chat": chat, "tokens": list(tokens), "attributes": attributes})


def figures(page: Page, number: int = 0) -> dict[str, int]:
    """What a clock shows, in integers."""
    script = """(number) => {
      const shown = document.querySelectorAll("meterd-clock")[number].figures;
      const entries = Object.entries(shown).filter(([, value]) => value !== null);
      return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
    }"""
    found: dict[str, str] = page.evaluate(script, number)
    return {name: int(value) for name, value in found.items()}


def clock_says(page: Page, text: str) -> None:
    """What the clock shows, not what it announces."""
    expect(page.get_by_role("group").get_by_text(text)).to_be_visible()


def clock_runs(page: Page) -> None:
    """The clock shows that it runs."""
    clock_says(page, "Running")
