"""How the end of a process is shown to a person."""

import pytest

from actors.errors import (
    SUMMARY_MAX,
    HungError,
    ProcessEndedError,
    StartTimeoutError,
    error_summary,
)


@pytest.mark.parametrize("kind", [HungError, StartTimeoutError, ProcessEndedError])
def test_a_sentence_of_ours_is_told_as_it_is(kind: type[Exception]) -> None:
    """The name of a Python class does not help an operator."""
    assert error_summary(kind("its process 7 has ended")) == "its process 7 has ended"


def test_the_error_of_a_library_is_told_with_its_kind() -> None:
    """Many messages mean nothing without it; of several lines the last one counts."""
    assert error_summary(ConnectionError("no node\nfor it ")) == "ConnectionError: for it"
    assert error_summary(KeyError()) == "KeyError: "
    assert len(error_summary(ValueError("x" * 1_000))) == SUMMARY_MAX
