"""What is open to this machine alone is closed to whoever comes through a proxy on it."""

import pytest

from tests.gateway.conftest import Gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.ray]


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_metrics_want_an_operator_through_a_proxy(gateway: Gateway, name: str) -> None:
    """The proxy's connection comes from this machine, and somebody else asks."""
    header = {name: "for=203.0.113.9"}
    assert gateway.http.get("/metrics").status_code == 200
    assert gateway.http.get("/metrics", headers=header).status_code == 401
    for role, status in (("user", 403), ("ops", 200)):
        headers = {**header, **gateway.bearer("somebody", role)}
        assert gateway.http.get("/metrics", headers=headers).status_code == status
