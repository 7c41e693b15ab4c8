"""Where the key that tokens are checked with comes from."""

import ipaddress
import secrets
from pathlib import Path

from daemon.embedded.home import make_home, write_private
from daemon.gateway.tokens import KeysError, PublicKeys, SecretKey, TokenKeys
from daemon.settings.settings import HttpSettings, Settings

_SECRET_BYTES = 32


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
    """The secret to sign with. Raises KeysError where only somebody else can sign."""
    if settings.http.jwks_file:
        raise KeysError("http.jwks_file: whoever has the private keys signs tokens, not meterd")
    return secret_of(settings)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def metrics_are_open(http: HttpSettings) -> bool:
    """Whether /metrics wants no token: only where nobody else can ask."""
    return is_loopback(http.host)


def _kept(home: Path) -> str:
    path = home / "http-secret"
    if not path.exists():
        make_home(home)
        write_private(path, secrets.token_hex(_SECRET_BYTES) + "\n")
    return path.read_text().strip()
