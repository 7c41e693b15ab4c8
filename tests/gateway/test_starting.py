"""How a gateway starts, or says why it does not; and its commands."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from structlog.testing import capture_logs

from daemon.gateway import server
from daemon.gateway.errors import BindError
from daemon.settings.settings import HttpSettings
from loadtests.common.live import LiveDaemon
from tests.gateway.conftest import SECRET, Gateway, gateway_alone
from tests.shared_daemon import servers_of

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


@pytest.fixture(scope="module")
def servers(live: LiveDaemon) -> dict[str, str]:
    """Where the daemon's servers are."""
    return servers_of(live)


@pytest.mark.parametrize("how", ["option", "environment", "up"])
def test_a_taken_port_that_was_asked_for_is_a_failure(
    servers: dict[str, str], tmp_path: Path, how: str
) -> None:
    """Exit 1; the message names the setting, the port and what to do. Nothing listens elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        env = {**servers} if how == "option" else {**servers, "METERD_HTTP__PORT": port}
        args = {"option": ("gateway", "--port", port), "environment": ("gateway",), "up": ("up",)}
        done = _env(tmp_path / "home", **env).run(*args[how])
    assert done.returncode == 1
    for part in ("http.port", f":{port} ", "METERD_HTTP__PORT"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_the_port_nobody_has_set_may_move_and_one_line_names_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as lines:
        port = taken.getsockname()[1]
        monkeypatch.setattr(server, "DEFAULT_PORT", port)
        with server.bind(HttpSettings()) as listening:
            used = listening.getsockname()[1]
        assert used != port
        assert [(line["port"], line["used_port"]) for line in lines] == [(port, used)]
        with pytest.raises(BindError, match=f"http.port: .*:{port} "):
            server.bind(HttpSettings(port=port))


def _env(home: Path, **env: str) -> LiveDaemon:
    home.mkdir(exist_ok=True)
    return LiveDaemon(home, env)


def test_beyond_this_machine_it_does_not_start_without_a_secret(
    servers: dict[str, str], tmp_path: Path
) -> None:
    """Exit 1, before it listens, with what to set; no traceback."""
    done = _env(tmp_path / "home", **servers).run("gateway", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "METERD_HTTP__JWT_SECRET" in done.stderr
    assert "http.jwks_file" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "home" / "http-secret").exists()


def test_a_short_secret_is_refused(servers: dict[str, str], tmp_path: Path) -> None:
    """It could be guessed."""
    env = {**servers, "METERD_HTTP__JWT_SECRET": "short"}
    done = _env(tmp_path / "home", **env).run("gateway", "--port", "0")
    assert done.returncode == 2
    assert "METERD_HTTP__JWT_SECRET" in done.stderr
    assert "short" not in done.stderr


def test_where_it_can_not_listen_it_says_so(servers: dict[str, str], tmp_path: Path) -> None:
    env = {**servers, "METERD_HTTP__JWT_SECRET": SECRET}
    done = _env(tmp_path / "home", **env).run("gateway", "--host", "192.0.2.1", "--port", "0")
    assert done.returncode == 1
    assert "192.0.2.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_servers_it_says_how_to_get_them(tmp_path: Path) -> None:
    done = _env(tmp_path / "home").run("gateway", "--port", "0")
    assert done.returncode == 1
    assert "meterd up" in done.stderr


@pytest.mark.parametrize("command", ["gateway", "token"])
def test_a_command_explains_itself(tmp_path: Path, command: str) -> None:
    """With an example."""
    done = _env(tmp_path / "home").run(command, "--help")
    assert done.returncode == 0
    assert "For example" in done.stdout
    assert f"meterd {command}" in done.stdout


def test_a_minted_token_counts(gateway: Gateway, live: LiveDaemon, name: str) -> None:
    """As whom, with which roles and for how long it was minted; as a user for an hour."""
    token = live.run("token", name).stdout.strip()
    answer = gateway.http.get("/v1/chats", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["role"]) == (name, ["user"])
    assert claims["exp"] - time.time() == pytest.approx(3_600, abs=30)


def test_a_minted_token_has_the_roles_and_the_time_asked_for(live: LiveDaemon) -> None:
    roles = ("--role", "ops", "--role", "backend")
    token = live.run("token", "me", *roles, "--ttl-s", "5").stdout.strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["role"] == ["ops", "backend"]
    assert claims["exp"] - claims["iat"] == 5


def test_an_unknown_role_is_refused_by_name(live: LiveDaemon) -> None:
    done = live.run("token", "me", "--role", "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert "root" in done.stderr


def test_a_link_leads_to_a_page_and_keeps_the_token_from_servers(
    gateway: Gateway, live: LiveDaemon
) -> None:
    """The token is behind the #, which no browser sends."""
    link = live.run("token", "me", "--link", "/demo").stdout.strip()
    page, _, fragment = link.partition("#")
    assert page == f"{gateway.url}/demo"
    assert fragment.startswith("token=")
    assert httpx.get(page).status_code == 200


def test_where_others_sign_no_token_is_minted(tmp_path: Path) -> None:
    done = _env(tmp_path / "home", METERD_HTTP__JWKS_FILE=os.devnull).run("token", "ann")
    assert (done.returncode, done.stdout) == (1, "")
    assert "http.jwks_file" in done.stderr


# How often one may ask.


@pytest.fixture(scope="module")
def strict(servers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that lets everybody ask five times, then once a second."""
    limits = {"METERD_HTTP__REQUESTS_PER_S": "1", "METERD_HTTP__REQUESTS_BURST": "5"}
    with gateway_alone(tmp_path_factory.mktemp("strict"), **servers, **limits) as gateway:
        yield gateway


def test_who_asks_too_often_is_told_when_to_come_back(strict: Gateway) -> None:
    """And nobody else; a backend speaks for all its users, and watchers are let in."""
    answers = [strict.get("/v1/chats/c", "ann") for _ in range(8)]
    assert [answer.status_code for answer in answers][:5] == [200] * 5
    last = answers[-1]
    assert (last.status_code, last.json()["code"]) == (429, "too_many_requests")
    assert last.headers["retry-after"] == "1"
    assert strict.get("/v1/chats/c", "bob").status_code == 200
    for _ in range(8):
        assert strict.post({"type": "begin"}).status_code == 422
        assert strict.http.get("/healthz").status_code == 200


def test_guessing_tokens_is_limited_by_address(strict: Gateway) -> None:
    """With none, and with ever other ones; whoever has one is not kept out by that."""
    guesses = [{"Authorization": f"Bearer guess-{n}"} if n % 2 else {} for n in range(8)]
    *_, answer = [strict.http.get("/v1/chats/c", headers=each) for each in guesses]
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert strict.get("/v1/chats/c", "carl").status_code == 200
