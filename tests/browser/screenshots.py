"""Pictures of the operations page, for people to look at: ``make screenshots``.

Every view at two widths, light and dark, with 5 and with 5 000 open chats of a real daemon.
"""

import argparse
import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from playwright.sync_api import Browser, Page, expect, sync_playwright

from loadtests.common.live import live_daemon
from loadtests.common.timeouts import scaled
from meterd import AsyncMeter
from tests.browser.desk import FLAGS, SECRET, Desk, find_chromium
from tests.browser.people import go, is_ready

COUNTS: Final = (5, 5_000)
WIDTHS: Final = (1_280, 390)
SCHEMES: Final = ("light", "dark")
HEIGHT: Final = 844
CHATS_PER_USER: Final = 5
USERS_AT_ONCE: Final = 50
TIMEOUT_MS: Final = scaled(30_000)


class View(NamedTuple):
    """What is shown, and how one sees that it is there."""

    name: str
    address: str
    shown: str
    dialog: str = ""
    """The button of the operation whose dialog is open."""


def views(chat: str, ended: str, user: str) -> tuple[View, ...]:
    """All views; of one open chat, one that has ended, and their user."""
    return (
        View("overview", "", "#actors td"),
        View("chats", "chats?sort=left", "#view td"),
        View("found", f"chats?status=all&search={user}", "#view .hit"),
        View("chat", f"chat/{chat}", "#view .records td"),
        View("user", f"user/{user}", "#view .records td"),
        View("advisor", "advisor/adele", "#view td"),
        View("dead", "dead", "#view .letter"),
        View("operations", "operations", "#view .list > div > *"),
        View("refund", f"chat/{ended}", "#view .records td", "Refund"),
    )


async def open_chats(url: str, begin: int, end: int) -> None:
    """Start the chats of these numbers, a few to each user, some of them paused."""
    gate = asyncio.Semaphore(USERS_AT_ONCE)
    async with AsyncMeter(url) as meter:

        async def open_for(user: str, numbers: list[int]) -> None:
            async with gate:
                await meter.top_up(user, str(5 + len(user) + numbers[0] % 90))
                for number in numbers:
                    chat, advisor = f"chat-{number:05}-8c1f", f"advisor-{number % 40}"
                    rate = f"{number % 4}.{number % 10}5"
                    await meter.start(
                        chat, user, "adele" if number < COUNTS[0] else advisor, rate=rate
                    )
                    if number % 7 == 1:
                        await meter.pause(chat)

        users: dict[str, list[int]] = {}
        for number in range(begin, end):
            users.setdefault(f"user-{number // CHATS_PER_USER:04}", []).append(number)
        await asyncio.gather(*(open_for(*each) for each in users.items()))


def prepare(desk: Desk) -> None:
    """One chat that has ended, a dead letter, and operations of both outcomes."""
    desk.meter.start("chat-ended-8c1f", "user-0000", "adele", rate="2.50", increment_ms=1)
    desk.meter.end("chat-ended-8c1f")
    desk.spoil(type="pause", chat_id="chat-00001-8c1f", note="typed by hand")
    done = {"reason": "Goodwill after the outage of Friday, ticket 4711", "user_id": "user-0000"}
    desk.post("/v1/operations", id="s-1", operation="account.top_up", amount="2.50", **done)
    desk.post("/v1/operations", id="s-2", operation="account.adjust", amount="-999", **done)
    desk.live.until_handled()


def shoot(desk: Desk, browser: Browser, folder: Path, count: int) -> Iterator[Path]:
    """Every view at every width, light and dark; the pictures' paths."""
    token = desk.token("alice", "admin")
    for width, scheme in itertools.product(WIDTHS, SCHEMES):
        context = browser.new_context(
            base_url=desk.url, viewport={"width": width, "height": HEIGHT},
            color_scheme=scheme,  # type: ignore[arg-type]
        )  # fmt: skip
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.goto(f"/#token={token}")
        is_ready(page)
        for view in views("chat-00003-8c1f", "chat-ended-8c1f", "user-0000"):
            _show(page, view)
            path = folder / f"{view.name}-{count}-{width}-{scheme}.png"
            page.screenshot(path=path, full_page=not view.dialog)
            yield path
        context.close()


def _show(page: Page, view: View) -> None:
    go(page, view.address)
    expect(page.locator(view.shown).first).to_be_visible(timeout=TIMEOUT_MS)
    if view.dialog:
        page.get_by_role("button", name=f"{view.dialog}…").click()
        page.get_by_label("Amount").fill("0.50")


def main() -> None:
    """Start a daemon, open chats, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/screenshots"))
    arguments = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        parser.error("no chromium was found; name one in METERD_TEST_CHROMIUM")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    env = {
        "METERD_HTTP__PORT": "0",
        "METERD_HTTP__JWT_SECRET": SECRET,
        "METERD_HTTP__ENVIRONMENT": "production",
    }
    with live_daemon(**env) as live, Desk(live) as desk:
        for begin, end in itertools.pairwise((0, *COUNTS)):
            asyncio.run(open_chats(live.redis_url, begin, end))
            if begin == 0:
                prepare(desk)
            live.until_handled()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
                for path in shoot(desk, browser, arguments.folder, end):
                    print(path)
                browser.close()


if __name__ == "__main__":
    main()
