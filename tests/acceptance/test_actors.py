"""One Ray actor per chat, as far as there are actors; then sharing, or a clear refusal."""

from collections.abc import Iterator

import pytest

from loadtests.common.live import LiveDaemon, live_daemon
from meterd import CommandRefusedError, Meter

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(240)]

ACTORS = 12


@pytest.fixture(scope="module", params=["shared", "strict"])
def daemon(request: pytest.FixtureRequest) -> Iterator[LiveDaemon]:
    strict = {"METERD_ACTORS__CHATS_PER_ACTOR": "1"} if request.param == "strict" else {}
    with live_daemon(
        METERD_ACTORS__MAX=str(ACTORS), METERD_ACTORS__WARM_POOL_SIZE="2", **strict
    ) as running:
        running.is_strict = bool(strict)  # type: ignore[attr-defined]
        yield running


def test_twelve_chats_have_twelve_actors_and_the_thirteenth_shares_or_is_refused(
    daemon: LiveDaemon,
) -> None:
    """Status names actors, processes and chats: one chat each; all processes differ."""
    with Meter(daemon.status()["redis_url"]) as meter:
        for n in range(ACTORS):
            meter.top_up(f"u{n}", "10")
            meter.start(f"c{n}", f"u{n}", "v", rate="1", timeout_s=30)
        daemon.until(lambda: _loads(daemon) == [1] * ACTORS, timeout_s=60)
        actors = daemon.status()["actors"]
        assert {c for a in actors for c in a["chat_ids"]} == {f"c{n}" for n in range(ACTORS)}
        assert len({a["pid"] for a in actors}) == ACTORS
        _thirteenth(daemon, meter)
        _reused(daemon, meter)


def _loads(daemon: LiveDaemon) -> list[int]:
    """How many chats each actor has."""
    return sorted(a["chats"] for a in daemon.published()["actors"])


def _thirteenth(daemon: LiveDaemon, meter: Meter) -> None:
    meter.top_up("u12", "10")
    if daemon.is_strict:  # type: ignore[attr-defined]
        with pytest.raises(CommandRefusedError) as refused:
            meter.start("c12", "u12", "v", rate="1")
        assert refused.value.outcome == "at_capacity"
        assert meter.snapshot("c12").status == "not_started"
        return
    meter.start("c12", "u12", "v", rate="1")
    daemon.until(lambda: _loads(daemon) == [1] * (ACTORS - 1) + [2])


def _reused(daemon: LiveDaemon, meter: Meter) -> None:
    """An ended chat's actor takes the next chat; no process is started for it."""
    before = {a["pid"] for a in daemon.status()["actors"]}
    if not daemon.is_strict:  # type: ignore[attr-defined]
        meter.end("c12")
    meter.end("c3")
    meter.start("c13", "u3", "v", rate="1")
    daemon.until(lambda: any("c13" in a["chat_ids"] for a in daemon.published()["actors"]))
    daemon.until(lambda: _loads(daemon) == [1] * ACTORS)
    assert {a["pid"] for a in daemon.status()["actors"]} == before
