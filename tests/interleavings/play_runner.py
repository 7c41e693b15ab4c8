"""Runs plays: on real servers, with the library under the play's clock, without pauses."""

import contextlib
from collections.abc import Iterator
from typing import Final
from unittest import mock

import redis
import structlog

from actors.supervisor import actor_handle, batch, dispatch
from actors.supervisor.in_flight_keys import keys_of
from loadtests.common.timeouts import scaled
from meterd.rules.commands import Command
from persistence.redis.client import connect
from tests.interleavings.final_check import check_sanity
from tests.interleavings.library_text import played
from tests.interleavings.play import play
from tests.interleavings.play_context import PlayContext
from tests.servers import kinds, redis_server

ANSWER_S_MAX: Final = scaled(60)
"""The machine may be slow; only the play decides what is lost."""
_PAUSES = (
    (actor_handle, "REPLACE_PAUSE_S", 0.0),
    (actor_handle, "AWAY_S_MIN", 0.0),
    (actor_handle, "AWAY_S_MAX", 0.0),
    (actor_handle, "CHECK_S", 1e6),
    (batch, "LOSSES_MAX", 1_000_000),
    (dispatch, "RETRY_S", 0.0),
)
"""Pauses are the play's to make; and chance may kill as many processes as it likes."""


@contextlib.contextmanager
def without_pauses() -> Iterator[None]:
    """Everything goes on when the play says so, silently."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with contextlib.ExitStack() as stack:
        for module, name, value in _PAUSES:
            stack.enter_context(mock.patch.object(module, name, value))
        yield
    structlog.configure(wrapper_class=before)


@contextlib.contextmanager
def play_runner(text: str = "") -> Iterator["PlayRunner"]:
    """One server of each kind that is there, with this text of the library."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(without_pauses())
        clients = []
        for kind in kinds():
            url = stack.enter_context(redis_server(kind))
            client = stack.enter_context(connect(url, socket_timeout_s=ANSWER_S_MAX))
            clients.append(client)
        found = PlayRunner(clients)
        found.load(text)
        yield found


class PlayRunner:
    """Runs plays; each seed has its server."""

    def __init__(self, clients: list[redis.Redis]) -> None:
        self._clients = clients

    def load(self, text: str = "") -> None:
        """Play with this text of the library from now on."""
        for client in self._clients:
            client.function_load(played(text), replace=True)

    def play(self, seed: int) -> PlayContext:
        """One play; raises what was wrong with it."""
        return play(self._of(seed), seed)

    def play_carelessly(self, seed: int) -> PlayContext:
        """One play under a dispatcher that keeps no order among the users of one chat."""
        with mock.patch.object(dispatch, "keys_of", _careless_keys):
            return play(self._of(seed), seed, check_sanity)

    def _of(self, seed: int) -> redis.Redis:
        return self._clients[seed % len(self._clients)]


def _careless_keys(user: str, command: Command) -> list[str]:
    return [key for key in keys_of(user, command) if not key.startswith("c")]


def why(error: BaseException) -> str:
    """What was wrong with a play, in a line."""
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}"[:100]
