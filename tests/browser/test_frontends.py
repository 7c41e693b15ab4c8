"""The programs of docs/frontends.md in a browser, on an origin of their own."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.desk import Desk
from tests.browser.programs import add_types, build, check_types, install, write_program
from tests.browser.site import Site

pytestmark = [pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(300)]

NOTE_STREAMS = """{
  const ask = globalThis.fetch;
  globalThis.streams = [];
  globalThis.fetch = (url, ...more) => {
    if (String(url).includes("/stream")) globalThis.streams.push(String(url));
    return ask(url, ...more);
  };
}"""
FRAMEWORKS = {"react": "React 19", "vue": "Vue 3"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both frameworks and Vite in it."""
    folder = tmp_path_factory.mktemp("frameworks")
    install(folder)
    return folder


@pytest.fixture(scope="module", params=[*FRAMEWORKS])
def program(request: pytest.FixtureRequest, workshop: Path, desk: Desk) -> Path:
    """A framework's program with its types."""
    name: str = request.param
    folder = workshop / name
    write_program(FRAMEWORKS[name], folder, desk.url)
    add_types(name, folder, desk.url)
    return folder


@pytest.fixture(scope="module")
def built(program: Path, site: Site) -> str:
    """The name under which the site has it."""
    build(program, site.folder / program.name)
    return program.name


def test_the_html_program_shows_chats_as_they_change(
    desk: Desk, site: Site, open_page: Open
) -> None:
    """Two clocks, one of a chat that has not started yet."""
    write_program("HTML", site.folder / "html", desk.url)
    _follow(desk, site, open_page, "html")


@pytest.mark.slow
def test_types_fit_the_program_and_refuse_what_is_wrong(program: Path) -> None:
    """Strictly, in JSX and in Vue's templates; no expectation of an error is left over."""
    check_types(program)


@pytest.mark.slow
def test_a_frameworks_program_shows_chats_as_they_change(
    desk: Desk, site: Site, open_page: Open, built: str
) -> None:
    """Properties, a token's function and `meterd-change` arrive; a property can be taken back."""
    page = _follow(desk, site, open_page, built)
    clock = page.locator("meterd-clock").first
    page.get_by_role("button", name="Less").first.click()
    expect(clock).to_have_attribute("compact", "")
    page.get_by_role("button", name="More").click()
    expect(clock).not_to_have_attribute("compact", "")


def _follow(desk: Desk, site: Site, open_page: Open, name: str) -> Page:
    """See a running chat, and one that starts, pauses and ends, over one connection."""
    user, running, later = desk.new(), desk.new(), desk.new()
    desk.start(user, running)
    site.token = desk.token(user)
    address = f"{site.origin}/{name}/index.html?chat={running}&chat={later}"
    page = open_page(address, script=NOTE_STREAMS)
    _shows(page, running, "Running", "running")
    _shows(page, later, "Not started", "not_started")
    desk.start(user, later)
    _shows(page, later, "Running", "running")
    desk.meter.pause(later)
    _shows(page, later, "Paused", "paused")
    desk.meter.end(later)
    _shows(page, later, "Ended", "ended")
    assert len(page.evaluate("globalThis.streams")) == 1
    assert site.token not in page.content(), "no token is in the page"
    return page


def _shows(page: Page, chat: str, says: str, state: str) -> None:
    """The clock says so, and so does the page, which heard it from the clock."""
    expect(page.get_by_role("group", name=f"Chat {chat}")).to_contain_text(says)
    expect(page.get_by_text(f"{chat} is {state}", exact=True)).to_be_visible()
