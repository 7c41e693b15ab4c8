"""Where the key that tokens are checked with comes from."""

import ipaddress
import secrets
from pathlib import Path

from daemon.discovery.runfile import RunFile
from daemon.embedded.home import make_home, write_private
from daemon.gateway.errors import KeysError
from daemon.gateway.tokens import PublicKeys, SecretKey, TokenKeys
from daemon.settings.settings import HttpSettings, Settings

_SECRET_BYTES = 32
HOME_FILE = "http-secret"
"""In METERD_HOME; made by a gateway, never by who asks for a token."""


def keys_of(settings: Settings) -> TokenKeys:
    """The keys to check with. Raises KeysError: there are none, and none may be made."""
    http = settings.http
    if http.jwks_file:
        return PublicKeys(Path(http.jwks_file))
    return SecretKey(secret_of(settings))


def secret_of(settings: Settings) -> str:
    """The secret as configured; on loopback alone, else one that is made once and kept."""
    http = settings.http
    if http.jwt_secret:
        return http.jwt_secret
    if not is_loopback(http.host):
        raise KeysError(
            f"http.host {http.host} can be reached from elsewhere, and nothing says whose tokens"
            " count: set http.jwt_secret (METERD_HTTP__JWT_SECRET) or http.jwks_file"
        )
    return _kept(settings.home)


def signing_secret_of(settings: Settings) -> str:
    """The secret to sign with: configured, else the running daemon's, else the home's.

    Raises KeysError where only somebody else can sign, or no gateway has a secret.
    """
    if settings.http.jwks_file:
        raise KeysError("http.jwks_file: whoever has the private keys signs tokens, not meterd")
    if settings.http.jwt_secret:
        return settings.http.jwt_secret
    runfile = RunFile(settings.home)
    running = None if runfile.is_stale() else runfile.jwt_secret()
    if running:
        return running
    path = settings.home / HOME_FILE
    if running is None and path.exists():
        return path.read_text().strip()
    what = (
        f"The daemon in {settings.home} has no gateway, or one with public keys"
        if running == ""
        else f"No gateway has made a secret in {settings.home}"
    )
    raise KeysError(
        f"{what}, so no token would be valid.\n"
        "Start a gateway there with: meterd up · or name the METERD_HOME of the one that runs ·"
        " or set its METERD_HTTP__JWT_SECRET"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def metrics_are_open(http: HttpSettings, is_proxied: bool) -> bool:
    """Whether /metrics wants no token: where a setting says so, or nobody else can ask."""
    return http.metrics_open or (is_loopback(http.host) and not is_proxied)


def _kept(home: Path) -> str:
    path = home / HOME_FILE
    if not path.exists():
        make_home(home)
        write_private(path, secrets.token_hex(_SECRET_BYTES) + "\n")
    return path.read_text().strip()
