"""``meterd token``."""

import os
from typing import Annotated, Final
from urllib.parse import quote

import typer

from daemon.console.common import EXIT_USAGE, ConfigOption, fail, print_line, settings_or_exit

ROLES: Final = ("user", "advisor", "ops", "admin", "backend")


def token(
    sub: Annotated[str, typer.Argument(metavar="SUB", help="Whom it speaks for: a user, …")],
    role: Annotated[
        list[str] | None,
        typer.Option(help="user (the default), advisor, ops, admin, backend."),
    ] = None,
    ttl_s: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="For how long.")] = 3_600,
    link: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Print a link to a page (/ or /demo) that has it."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Mint a token for development, signed with the gateway's secret.

    The secret is http.jwt_secret, else that of the daemon that runs in METERD_HOME,
    else the one that a gateway has made there; without one there is no token. In
    production whoever signs your users in mints them: see docs/http.md.

    For example:

      curl -H "Authorization: Bearer $(meterd token ann)" http://127.0.0.1:8080/v1/users/ann/wallet

      meterd token me --role ops --link /

      meterd token demo-user --role user --role backend --link /demo
    """
    roles = role or ["user"]
    wrong = [one for one in roles if one not in ROLES]
    if wrong:
        raise fail(f"--role {wrong[0]}: want one of {', '.join(ROLES)}", EXIT_USAGE)
    settings = settings_or_exit(config)
    from daemon.gateway.errors import KeysError  # noqa: PLC0415 - as above
    from daemon.gateway.key_source import signing_secret_of  # noqa: PLC0415 - as above
    from daemon.gateway.tokens import mint  # noqa: PLC0415 - as above

    try:
        secret = signing_secret_of(settings)
    except KeysError as error:
        raise fail(str(error)) from None
    made = mint(secret, settings.http.audience, sub, roles, ttl_s)
    print_line(made if link is None else f"{_http_url(config)}{_path(link)}#token={quote(made)}")


def _path(link: str) -> str:
    return link if link.startswith("/") else f"/{link}"


def _http_url(config: ConfigOption) -> str:
    from daemon.discovery.status import find_addresses  # noqa: PLC0415 - as above
    from daemon.settings.home import elsewhere_hint  # noqa: PLC0415 - as above

    settings = settings_or_exit(config)
    addresses, home = find_addresses(settings), settings.home
    if addresses is None or not addresses.http_url:
        raise fail(
            f"No gateway of a daemon runs in {home}.\n"
            f"Start one with: meterd up{elsewhere_hint(os.environ)}"
        )
    return addresses.http_url
