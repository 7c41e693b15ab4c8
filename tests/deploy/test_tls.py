"""``rediss://``: the daemon's connections and the client's check whom they talk to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from meterd import AsyncMeter, Meter
from persistence.redis.client import connect, connect_async
from tests.deploy.certificates import Authority
from tests.deploy.roles import BACKEND, DAEMON
from tests.deploy.secure import Secure, has_tls, secure_server
from tests.servers import kinds

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module", params=kinds())
def secure(request: pytest.FixtureRequest) -> Iterator[Secure]:
    if not has_tls(request.param):
        pytest.skip(f"this {request.param} server was built without TLS")
    with secure_server(request.param) as running:
        yield running


def test_the_daemons_connections_take_certificates_from_the_url(secure: Secure) -> None:
    """For threads and for asyncio."""
    url = secure.server.url(DAEMON)
    with connect(url) as client:
        assert client.ping()

    async def ping() -> Any:
        async with connect_async(url) as client:
            return await client.ping()

    assert asyncio.run(ping())


def test_the_client_takes_certificates_from_the_url(secure: Secure) -> None:
    """For threads and for asyncio; a chat that is not there is an answer."""
    url = secure.server.url(BACKEND)
    with Meter(url) as meter:
        assert meter.snapshot("c").status == "not_started"

    async def ask() -> str:
        async with AsyncMeter(url) as meter:
            return (await meter.snapshot("c")).status

    assert asyncio.run(ask()) == "not_started"


def test_a_server_that_nobody_vouches_for_is_not_talked_to(secure: Secure, tmp_path: Path) -> None:
    """Its certificate is signed by somebody else: no password is sent, and the error says why."""
    other = Authority(tmp_path, "other").certificate
    trusted = str(secure.authority.certificate)
    url = secure.server.url(DAEMON).replace(trusted, str(other))
    with connect(url) as client, pytest.raises(redis.ConnectionError, match="verify failed"):
        client.ping()


def test_a_server_of_another_name_is_not_talked_to(secure: Secure) -> None:
    """A certificate for 127.0.0.1 is none for localhost."""
    url = secure.server.url(DAEMON).replace("127.0.0.1", "localhost")
    with connect(url) as client, pytest.raises(redis.ConnectionError, match="verify failed"):
        client.ping()


def test_without_a_certificate_of_its_own_a_client_gets_nowhere(secure: Secure) -> None:
    """If the server wants one; ``ssl_ca_certs`` alone is not enough then."""
    url = secure.server.url(BACKEND).partition("&ssl_certfile")[0]
    with connect(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
