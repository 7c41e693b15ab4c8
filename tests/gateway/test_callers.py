"""Who may see and do what: every set of roles against every chat, own, of others, and none."""

from itertools import chain, combinations, product

import pytest

from daemon.gateway.authorization import (
    ADMIN,
    ADVISOR,
    BACKEND,
    OPS,
    ROLES,
    USER,
    WHOLE,
    WITHOUT_WALLET,
    Caller,
)

ME, OTHER = "me", "somebody-else"
NAMES = (ME, OTHER, None, "", "Me", "me ")

ROLE_SETS = [
    frozenset(roles)
    for roles in chain.from_iterable(combinations(ROLES, n) for n in range(len(ROLES) + 1))
]


@pytest.fixture(params=ROLE_SETS, ids=lambda roles: "+".join(sorted(roles)) or "nothing")
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(ME, request.param, 0.0)


def test_a_chat_is_seen_by_its_user_its_advisor_and_operators(caller: Caller) -> None:
    """Whole by its user and by operators, without the wallet by its advisor, by nobody else."""
    is_operator = bool(caller.roles & {OPS, ADMIN})
    for user_id, advisor_id in product(NAMES, NAMES):
        is_user = USER in caller.roles and user_id == ME
        is_advisor = ADVISOR in caller.roles and advisor_id == ME
        whole = WHOLE if is_operator or is_user else None
        seen = whole or (WITHOUT_WALLET if is_advisor else None)
        assert caller.view(user_id, advisor_id) == seen, (user_id, advisor_id)


@pytest.mark.parametrize("user_id", [name for name in NAMES if name is not None])
def test_an_account_is_read_by_its_user_and_operators_alone(caller: Caller, user_id: str) -> None:
    """An advisor called like a user does not read the user's wallet."""
    as_user = USER in caller.roles and user_id == ME
    is_operator = bool(caller.roles & {OPS, ADMIN})
    assert caller.may_read_user(user_id) == (is_operator or as_user)


def test_a_role_gives_its_own_powers_and_no_others(caller: Caller) -> None:
    """To act takes ``admin``: neither ``ops`` nor ``backend`` does, nor both together."""
    assert caller.may_operate() == bool(caller.roles & {OPS, ADMIN})
    assert caller.may_act() == (ADMIN in caller.roles)
    assert caller.may_follow() == bool(caller.roles & {OPS, ADMIN, BACKEND})
    assert caller.may_command() == (BACKEND in caller.roles)
    assert caller.may_read() == bool(caller.roles - {BACKEND})


@pytest.mark.parametrize("names", [(ME, ME), (ME, OTHER), (OTHER, ME), (OTHER, OTHER)])
def test_more_roles_never_show_less(names: tuple[str, str]) -> None:
    order = [None, WITHOUT_WALLET, WHOLE]
    for fewer in ROLE_SETS:
        for more in (roles for roles in ROLE_SETS if roles > fewer):
            less, seen = (Caller(ME, roles, 0.0).view(*names) for roles in (fewer, more))
            assert order.index(seen) >= order.index(less)
