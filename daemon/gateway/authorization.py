"""Who asks, and what they may: pure, so that it can be tested whole."""

from typing import Final, NamedTuple

USER: Final = "user"
ADVISOR: Final = "advisor"
OPS: Final = "ops"
ADMIN: Final = "admin"
"""Reads what ``ops`` reads, and may act on chats and accounts."""
BACKEND: Final = "backend"
ROLES: Final = (USER, ADVISOR, OPS, ADMIN, BACKEND)
_OPERATORS: Final = frozenset({OPS, ADMIN})

WHOLE: Final = "whole"
"""A view of a chat with its wallet, and with what happens to the account."""
WITHOUT_WALLET: Final = "without_wallet"


class Caller(NamedTuple):
    """Whom a token speaks for."""

    sub: str
    roles: frozenset[str]
    expires_at_s: float
    """Seconds since 1970: when the token ends, and every stream it opened."""

    def view(self, user_id: str | None, advisor_id: str | None) -> str | None:
        """How the caller may see a chat of these two; None: as one that never started."""
        if self.may_operate() or self.is_user(user_id):
            return WHOLE
        if ADVISOR in self.roles and advisor_id is not None and advisor_id == self.sub:
            return WITHOUT_WALLET
        return None

    def is_user(self, user_id: str | None) -> bool:
        """Whether the caller is this user, as a user."""
        return USER in self.roles and user_id is not None and user_id == self.sub

    def may_read_user(self, user_id: str) -> bool:
        """Whether the caller may read a user's wallet, ledger and stream."""
        return self.may_operate() or self.is_user(user_id)

    def may_read_advisor(self, advisor_id: str) -> bool:
        """Whether the caller may read an advisor's stream and totals."""
        return self.may_operate() or (ADVISOR in self.roles and advisor_id == self.sub)

    def may_operate(self) -> bool:
        """Whether the caller may read what concerns the whole service."""
        return bool(self.roles & _OPERATORS)

    def may_act(self) -> bool:
        """Whether the caller may end chats, move credits and resolve dead letters by hand."""
        return ADMIN in self.roles

    def may_command(self) -> bool:
        """Whether the caller may post commands."""
        return BACKEND in self.roles

    def may_follow(self) -> bool:
        """Whether the caller may follow everything that happens, to all users."""
        return self.may_command() or self.may_operate()

    def may_read(self) -> bool:
        """Whether the caller may read anything at all."""
        return bool(self.roles & {USER, ADVISOR}) or self.may_operate()
