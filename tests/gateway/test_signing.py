"""Where the key comes from: made on loopback alone, else configured, or nothing starts."""

import json
import stat
from pathlib import Path

import pytest

from daemon.discovery.runfile import Addresses, RunFile
from daemon.embedded.home import make_home
from daemon.gateway.errors import KeysError
from daemon.gateway.key_source import (
    is_loopback,
    keys_of,
    metrics_are_open,
    secret_of,
    signing_secret_of,
)
from daemon.gateway.tokens import PublicKeys, Tokens, mint
from daemon.settings.settings import HttpSettings, Settings
from tests.gateway.test_public_keys import RSA, SYMMETRIC

LOOPBACK = ("127.0.0.1", "127.1.2.3", "::1", "localhost")
REACHABLE = ("0.0.0.0", "::", "10.0.0.5", "192.168.1.1", "gateway.example", "127.0.0.1.example", "")
CONFIGURED = "a configured secret of thirty-two bytes"


def _settings(home: Path, **http: object) -> Settings:
    return Settings(home=home, http=HttpSettings(**http))  # type: ignore[arg-type]


def _jwks(folder: Path) -> str:
    path = folder / "keys.json"
    path.write_text(json.dumps({"keys": [RSA.jwk]}))
    return str(path)


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_loopback_one_secret_is_made_and_kept(tmp_path: Path, host: str) -> None:
    """For its owner alone, and the same after every start."""
    home = tmp_path / "home"
    first = secret_of(_settings(home, host=host))
    assert secret_of(_settings(home, host=host)) == first
    assert signing_secret_of(_settings(home, host=host)) == first
    assert len(first) >= 32
    assert stat.S_IMODE((home / "http-secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) & 0o077 == 0
    token = mint(first, "meterd", "ann", ["user"], 60)
    assert Tokens(keys_of(_settings(home, host=host)), "meterd").caller(token).sub == "ann"


def test_every_home_has_a_secret_of_its_own(tmp_path: Path) -> None:
    made = {secret_of(_settings(tmp_path / str(number))) for number in range(5)}
    assert len(made) == 5


@pytest.mark.parametrize("host", REACHABLE)
def test_elsewhere_nothing_is_made(tmp_path: Path, host: str) -> None:
    """The message says what to set; a secret left from loopback does not count either."""
    secret_of(_settings(tmp_path))
    with pytest.raises(KeysError, match=r"METERD_HTTP__JWT_SECRET.*http\.jwks_file"):
        keys_of(_settings(tmp_path, host=host))


@pytest.mark.parametrize("host", [*LOOPBACK, *REACHABLE])
def test_a_configured_secret_counts_everywhere(tmp_path: Path, host: str) -> None:
    settings = _settings(tmp_path, host=host, jwt_secret=CONFIGURED)
    token = mint(CONFIGURED, "meterd", "ann", ["user"], 60)
    assert Tokens(keys_of(settings), "meterd").caller(token).sub == "ann"
    assert not (tmp_path / "http-secret").exists()


def test_asking_for_a_token_makes_no_secret(tmp_path: Path) -> None:
    """No gateway would accept it: refused, with where it looked, and nothing is left there."""
    home = tmp_path / "home"
    with pytest.raises(KeysError, match=rf"{home}.*\n.*meterd up"):
        signing_secret_of(_settings(home))
    assert not home.exists()


def test_a_token_is_signed_with_the_running_daemons_secret(tmp_path: Path) -> None:
    """With the one it was started with, which its environment alone may hold; not with one that an
    earlier gateway has left."""
    make_home(tmp_path)
    left = secret_of(_settings(tmp_path))
    with RunFile(tmp_path).held(Addresses("redis://r", "postgresql://p"), CONFIGURED):
        assert signing_secret_of(_settings(tmp_path)) == CONFIGURED
    assert signing_secret_of(_settings(tmp_path)) == left


def test_where_the_running_daemon_takes_no_secret_no_token_is_signed(tmp_path: Path) -> None:
    """It has public keys or no gateway, whatever an earlier one has left."""
    secret_of(_settings(tmp_path))
    running = RunFile(tmp_path).held(Addresses("redis://r", "postgresql://p"))
    with running, pytest.raises(KeysError, match="public keys"):
        signing_secret_of(_settings(tmp_path))


@pytest.mark.parametrize("host", [LOOPBACK[0], REACHABLE[0]])
def test_a_set_of_public_keys_wins_over_a_secret(tmp_path: Path, host: str) -> None:
    """And nobody can sign with what is here."""
    settings = _settings(tmp_path, host=host, jwt_secret=CONFIGURED, jwks_file=_jwks(tmp_path))
    assert isinstance(keys_of(settings), PublicKeys)
    with pytest.raises(KeysError, match="whoever has the private keys"):
        signing_secret_of(settings)


def test_a_set_without_public_keys_is_no_way_back_to_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [SYMMETRIC]}))
    with pytest.raises(KeysError):
        keys_of(_settings(tmp_path, jwt_secret=CONFIGURED, jwks_file=str(path)))


@pytest.mark.parametrize("is_proxied", [False, True])
def test_metrics_are_open_on_loopback_alone_or_by_a_setting(is_proxied: bool) -> None:
    for host in (*LOOPBACK, *REACHABLE):
        assert is_loopback(host) == (host in LOOPBACK)
        is_ours = host in LOOPBACK and not is_proxied
        assert metrics_are_open(HttpSettings(host=host), is_proxied) == is_ours
        assert metrics_are_open(HttpSettings(host=host, metrics_open=True), is_proxied)
