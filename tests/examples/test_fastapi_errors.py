"""What examples/fastapi-react/ answers where no test wants to wait for the real cause."""

import asyncio
import importlib
from pathlib import Path

import httpx
import pytest

from meterd import MeterError, NoReplyError, UnavailableError
from tests.examples.running import copy_checkout


class Away:
    """A client whose commands all fail."""

    def __init__(self, error: type[MeterError]) -> None:
        self._error = error

    async def end(self, chat_id: str, *, user_id: str, id: str) -> None:  # noqa: A002 - the contract's name
        raise NoReplyError(id, "1-0", 10) if self._error is NoReplyError else self._error("away")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoReplyError, {"code": "uncertain", "id": "ann:k"}),
        (UnavailableError, {"code": "unavailable", "detail": "away"}),
    ],
)
def test_a_failure_of_the_queue_is_503(
    error: type[MeterError], said: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command's id where the same request has to be sent again."""
    folder = copy_checkout(tmp_path) / "examples" / "fastapi-react"
    (folder / "dist").mkdir()
    monkeypatch.syspath_prepend(str(folder))
    backend = importlib.import_module("backend.app")
    services = backend.Services(Away(error), None)
    monkeypatch.setitem(backend.app.dependency_overrides, backend.services_of, lambda: services)
    answer = asyncio.run(_end(httpx.ASGITransport(backend.app)))
    assert answer.status_code == 503
    assert said.items() <= answer.json().items()


async def _end(transport: httpx.ASGITransport) -> httpx.Response:
    async with httpx.AsyncClient(
        transport=transport, base_url="http://example", cookies={"user": "ann"}
    ) as client:
        return await client.post("/api/chats/c/end", headers={"Idempotency-Key": "k"})
