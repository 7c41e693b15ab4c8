"""What all tests share."""

import os

import pytest
from hypothesis import HealthCheck, settings

from loadtests.common.timeouts import SCALE, scaled

# A failure prints its blob (@reproduce_failure), and every run looks at new examples: derandomize
# stays off, in CI too, where Hypothesis would turn it on by itself. Time limits are
# pytest-timeout's business.
settings.register_profile("default", print_blob=True, derandomize=False, deadline=None)
settings.register_profile(
    "ci",
    settings.get_profile("default"),
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scale pytest's own limits: those of marks, and that of the ini file."""
    for item in items if SCALE != 1 else ():
        mark = item.get_closest_marker("timeout") or pytest.mark.timeout().mark
        options = {"timeout": float(config.getini("timeout")), **mark.kwargs}
        seconds = options.pop("timeout")
        limit = scaled(mark.args[0] if mark.args else seconds)
        item.add_marker(pytest.mark.timeout(limit, **options), append=False)


pytest.register_assert_rewrite("tests.conformance.played")
pytest_plugins = ["tests.databases"]
