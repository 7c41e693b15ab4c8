"""A parameter that a route does not have is refused, not passed over."""

import pytest

from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]

MISSPELT = [
    ("/v1/chats", {"status": "ended", "userid": "zzz"}, "userid", "user_id"),
    ("/v1/chats", {"status": "open", "limits": "1"}, "limits", "limit"),
    ("/v1/users/u/ledger", {"frm": "0"}, "frm", "from"),
    ("/v1/users/u/wallet", {"withrate": "1"}, "withrate", "with_rate"),
]


@pytest.mark.parametrize(("path", "query", "field", "meant"), MISSPELT)
def test_a_misspelt_parameter_is_refused_with_the_nearest_name(
    gateway: Gateway, path: str, query: dict[str, str], field: str, meant: str
) -> None:
    answer = gateway.get(path, "o", "ops", **query)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert f"did you mean {meant}?" in error["message"]


@pytest.mark.parametrize(
    "path", ["/v1/chats/c", "/v1/status", "/v1/chats/c/stream", "/v1/users/o/stream"]
)
def test_a_route_without_parameters_takes_none(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path, "o", "ops", x="1")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "x"


def test_a_parameter_that_is_there_twice_is_refused(gateway: Gateway) -> None:
    """One of the two would be passed over."""
    answer = gateway.http.get("/v1/chats?user_id=a&user_id=b", headers=gateway.bearer("o", "ops"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "user_id"


def test_who_may_not_ask_hears_that_first(gateway: Gateway) -> None:
    assert gateway.http.get("/v1/chats?userid=a").status_code == 401
