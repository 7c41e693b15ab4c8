"""Several generators are asked for what one would be, and their figures are those of one."""

import argparse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.figures import RunFigures
from loadtests.load.generators import merged, shares
from loadtests.load.options import LoadOptions, OptionsError, add_to_runner, load_options_of

requests = st.lists(
    st.tuples(st.booleans(), st.sampled_from("ab"), st.floats(0, 1e5), st.booleans()), max_size=50
)


def _options(*typed: str) -> LoadOptions:
    parser = argparse.ArgumentParser()
    add_to_runner(parser, {})
    return load_options_of(parser.parse_args(typed))


@given(st.integers(2, 8), st.data())
def test_all_shares_together_are_the_whole(count: int, data: st.DataObject) -> None:
    """Each has a backend and draws other commands; one alone opens the chats of the notices."""
    wanted: dict[str, Any] = {
        name: data.draw(st.just(0) | st.integers(count, 10_000), name)
        for name in ("rate", "start_rate", "accounts")
    }
    wanted |= {name: data.draw(st.integers(count, 10_000), name) for name in ("chats", "reads")}
    wanted |= {name: data.draw(st.integers(1, 20), name) for name in ("backends", "frontends")}
    whole = _options("--generators", str(count), "--notices", "7")._replace(**wanted)
    found = shares(whole, "folder")
    assert len(found) == count
    for name in ("rate", "start_rate", "accounts", "chats", "reads"):
        values = [getattr(one, name) for one in found]
        assert sum(values) == wanted[name]
        assert max(values) - min(values) <= 1
        assert (min(values) > 0) == (wanted[name] > 0), "0 has a meaning of its own"
    for name in ("backends", "frontends"):
        values = [getattr(one, name) for one in found]
        assert sum(values) == max(wanted[name], count)
        assert min(values) > 0
    assert [one.notices for one in found] == [7] + [0] * (count - 1)
    assert len({one.seed for one in found}) == count
    assert {(one.barrier, one.audit) for one in found} == {("folder", "none")}


def test_too_little_for_so_many_is_refused() -> None:
    """A share of 0 would be as fast as it goes."""
    with pytest.raises(OptionsError, match="--rate 3 can't be shared by 4"):
        shares(_options("--generators", "4", "--rate", "3"), "folder")


def _told(figures: RunFigures, problems: list[str], drained_s: float | None) -> dict[str, object]:
    return {
        **figures.document(10.0), "raw": figures.raw(), "asked_per_s": 5.0, "open_chats": 3,
        "measured_from_s": 1.0, "measured_to_s": 11.0, "generator_waited_for_cpu_s": 0.5,
        "drained_s": drained_s, "problems": problems,
    }  # fmt: skip


@given(st.lists(requests, min_size=1, max_size=4))
def test_figures_of_several_are_those_of_one_that_did_it_all(
    parts: list[list[tuple[bool, str, float, bool]]],
) -> None:
    """Counts, rates, failures and percentiles, of all commands and of each kind."""
    alone, several = RunFigures(), [RunFigures() for _ in parts]
    for figures, found in zip(several, parts, strict=True):
        for is_read, name, latency_ms, is_failure in found:
            for one in (alone, figures):
                one.add("read" if is_read else "command", name, latency_ms, is_failure=is_failure)
        figures.end_stretch(1.0, 2)
    alone.end_stretch(1.0, 2 * len(parts))
    together = merged([_told(one, [], 1.0) for one in several])
    whole = alone.document(10.0)
    for name in ("overall", "commands", "reads", "measured_s"):
        assert together[name] == whole[name], name
    (second,) = together["series"]
    assert second["commands_per_s"] == pytest.approx(whole["series"][0]["commands_per_s"])
    assert second["open_chats"] == 2 * len(parts)
    assert together["asked_per_s"] == 5.0 * len(parts)
    assert "raw" not in together


def test_a_problem_of_one_is_a_problem_of_all() -> None:
    """Told once; what was not worked off in one was not worked off."""
    parts = [_told(RunFigures(), ["x", "y"], 2.0), _told(RunFigures(), ["x"], None)]
    together = merged(parts)
    assert together["problems"] == ["x", "y"]
    assert together["drained_s"] is None
