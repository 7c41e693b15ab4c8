"""Who asks, and what they may: pure, so that it can be tested whole."""

from typing import Final, NamedTuple

USER: Final = "user"
ADVISOR: Final = "advisor"
OPS: Final = "ops"
BACKEND: Final = "backend"
ROLES: Final = (USER, ADVISOR, OPS, BACKEND)

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
        if OPS in self.roles or self.is_user(user_id):
            return WHOLE
        if ADVISOR in self.roles and advisor_id is not None and advisor_id == self.sub:
            return WITHOUT_WALLET
        return None

    def is_user(self, user_id: str | None) -> bool:
        """Whether the caller is this user, as a user."""
        return USER in self.roles and user_id is not None and user_id == self.sub

    def may_read_user(self, user_id: str) -> bool:
        """Whether the caller may read a user's wallet, ledger and stream."""
        return OPS in self.roles or self.is_user(user_id)

    def may_read_advisor(self, advisor_id: str) -> bool:
        """Whether the caller may read an advisor's stream."""
        return OPS in self.roles or (ADVISOR in self.roles and advisor_id == self.sub)

    def may_operate(self) -> bool:
        """Whether the caller may read what concerns the whole service."""
        return OPS in self.roles

    def may_command(self) -> bool:
        """Whether the caller may post commands."""
        return BACKEND in self.roles

    def may_follow(self) -> bool:
        """Whether the caller may follow everything that happens, to all users."""
        return bool(self.roles & {BACKEND, OPS})

    def may_read(self) -> bool:
        """Whether the caller may read anything at all."""
        return bool(self.roles & {USER, ADVISOR, OPS})
