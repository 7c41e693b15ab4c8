"""The roles of ``deploy/postgres-roles.sql`` on a server that may have others of these names."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import make_url

from tests.databases import run
from tests.deploy.roles import ROOT

ROLES: Final = ("daemon", "gateway", "backend", "operator", "recovery")
_ROLES_TEXT: Final = (ROOT / "deploy" / "postgres-roles.sql").read_text("utf-8")
_SUFFIX: Final = f"_test_{os.getpid()}"


class Roles(NamedTuple):
    """A database in which they are."""

    owner_url: str
    passwords: dict[str, str]

    def name(self, role: str) -> str:
        """What the role is called here."""
        return f"meterd_{role}{_SUFFIX}"

    def url(self, role: str) -> str:
        """The database as a role sees it."""
        mine = make_url(self.owner_url).set(username=self.name(role), password=self.passwords[role])
        return mine.render_as_string(hide_password=False)


@contextlib.contextmanager
def roles_in(url: str) -> Iterator[Roles]:
    """Run the file in a database with the tables; the roles are gone afterwards."""
    roles = Roles(url, {role: secrets.token_hex(8) for role in ROLES})
    names = "|".join(ROLES)
    text = re.sub(rf"\bmeterd_({names})\b", rf"meterd_\1{_SUFFIX}", _ROLES_TEXT)
    try:
        for _ in range(2):  # it may be run again
            run(url, text)
        for role in ROLES:
            run(url, f"ALTER ROLE {roles.name(role)} PASSWORD '{roles.passwords[role]}'")
        yield roles
    finally:
        for role in ROLES:
            run(url, f"DROP OWNED BY {roles.name(role)}")
            run(url, f"DROP ROLE {roles.name(role)}")
