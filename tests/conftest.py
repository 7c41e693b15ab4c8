"""What all tests share."""

import os

import pytest
from hypothesis import HealthCheck, settings

from loadtests.common.timeouts import READY_TIMEOUT_S, scaled

# A failure prints its blob (@reproduce_failure), and every run looks at new examples: derandomize
# stays off, in CI too, where Hypothesis would turn it on by itself. Time limits are
# pytest-timeout's business.
settings.register_profile("default", print_blob=True, derandomize=False, deadline=None)
# For `make test-slow`, which runs every night; `make test`, in CI too, has ten minutes.
settings.register_profile(
    "nightly",
    settings.get_profile("default"),
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
# For `make test-fast`, which has a minute; `make test` looks at four times as many examples.
settings.register_profile("fast", settings.get_profile("default"), max_examples=25)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scale pytest's own limits, those of marks and that of the ini file.

    A test that may have to wait for a daemon has that time besides: it is the daemon's limit.
    """
    if config.getoption("timeout") is not None:
        return  # typed by hand: that is the limit of all
    for item in items:
        mark = item.get_closest_marker("timeout") or pytest.mark.timeout().mark
        options = {"timeout": float(config.getini("timeout")), **mark.kwargs}
        seconds = options.pop("timeout")
        limit = mark.args[0] if mark.args else seconds
        limit += READY_TIMEOUT_S if item.get_closest_marker("ray") else 0
        item.add_marker(pytest.mark.timeout(scaled(limit), **options), append=False)


pytest.register_assert_rewrite("tests.conformance.played")
pytest_plugins = ["tests.databases", "tests.shared_daemon"]
