"""Options, mixes and thresholds: what is wrong is named with its place and the fix."""

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.command_mix import ACTS, MIXES, MixError, mix_of
from loadtests.load.options import (
    OPTIONS,
    THRESHOLDS,
    OptionsError,
    add_to_runner,
    duration_s,
    load_options_of,
    typed,
    without_ours,
)
from loadtests.load.thresholds import (
    Threshold,
    ThresholdResult,
    ThresholdsError,
    judge,
    parse,
    read_thresholds,
)


@given(st.dictionaries(st.sampled_from(ACTS), st.integers(1, 1000), min_size=1))
def test_a_mix_can_be_written_down(mix: dict[str, int]) -> None:
    assert mix_of(",".join(f"{act}={weight}" for act, weight in mix.items())) == mix


@pytest.mark.parametrize("name", MIXES)
def test_a_named_mix_has_known_acts(name: str) -> None:
    assert set(mix_of(name)) <= set(ACTS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("typicle", "take one of typical"),
        ("", "is no mix"),
        ("end=3", "is no act: take some of heartbeat"),
        ("heartbeat=x", "whole number"),
        ("heartbeat=-1", "whole number"),
        ("heartbeat=1,heartbeat=2", "is there twice"),
        ("heartbeat=0", "at least one"),
    ],
)
def test_a_wrong_mix_says_what_would_be_right(text: str, told: str) -> None:
    with pytest.raises(MixError, match=told):
        mix_of(text)


def _parsed(arguments: list[str], env: dict[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_to_runner(parser, env)
    return parser.parse_args(arguments)


def test_an_option_goes_before_its_variable_and_that_before_the_default() -> None:
    env = {"METERD_LOAD_CHATS": "7", "METERD_LOAD_DURATION": "3m"}
    options = load_options_of(_parsed(["--chats", "9"], env))
    assert (options.chats, options.duration, options.rate) == (9, 180.0, 300)


def test_every_option_is_passed_on_to_locust_but_addresses() -> None:
    """Those may hold passwords, and everybody can read a command line."""
    options = load_options_of(_parsed(["--rate", "5", "--redis-url", "redis://:secret@host"], {}))
    words = typed(options)
    assert "secret" not in " ".join(words)
    again = load_options_of(_parsed(words, {}))
    assert again == options._replace(redis_url="", postgres_url="")
    assert len(words) == len(OPTIONS) - 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--chats", "0"), ("--rate", "-1"), ("--shape", "round"), ("--duration", "0"),
        ("--duration", "2d"), ("--mix", "x"), ("--audit", "some"), ("--leave-open", "maybe"),
    ],
)  # fmt: skip
def test_an_impossible_option_is_refused(option: str, value: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=option):
        _parsed([option, value], {})


def test_an_open_loop_wants_a_rate() -> None:
    """There is none to hold otherwise."""
    with pytest.raises(OptionsError, match="--rate"):
        load_options_of(_parsed(["--loop", "open", "--rate", "0"], {}))
    assert load_options_of(_parsed(["--loop", "open"], {})).rate > 0


def test_an_impossible_variable_is_refused() -> None:
    with pytest.raises(argparse.ArgumentError, match="shape"):
        _parsed([], {"METERD_LOAD_SHAPE": "round"})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400)]
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@given(
    st.integers(1, 5_000), st.integers(1, 50), st.integers(0, 6_000), st.integers(1, 5),
)  # fmt: skip
def test_there_are_accounts_for_every_backend_and_none_without_a_chat(
    chats: int, each: int, accounts: int, backends: int
) -> None:
    options = load_options_of(_parsed([], {}))._replace(
        chats=max(chats, backends), chats_per_account=each, accounts=accounts, backends=backends
    )
    assert backends <= options.users <= options.chats


def test_meterds_own_commands_get_none_of_our_variables() -> None:
    assert without_ours({"METERD_LOAD_CHATS": "1", "METERD_HOME": "x"}) == {"METERD_HOME": "x"}


def test_the_thresholds_that_come_with_it_are_good() -> None:
    assert read_thresholds(THRESHOLDS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("overal: {}", "overal: there is no such name here; known are overall"),
        ("overall: {p99: 3}", "overall.p99: there is no such name here; known are throughput"),
        ("overall: {count_min: lots}", "overall.count_min: 'lots' is no number; write one"),
        ("overall: {count_min: true}", "overall.count_min: True is no number"),
        ("overall: {count_min: -1}", "overall.count_min: -1 is impossible; it is 0 or more"),
        ("overall: {count_min: .inf}", "finite"),
        ("overall: {error_rate_max: 5}", "overall.error_rate_max: 5 is more than all"),
        ("overall: 3", "overall: 3 has no names"),
        ("commands: {stop: {}}", "commands.stop: there is no such name here; known are end"),
        ("commands: {start: {throughput_of_asked_min: 1}}", "commands.start.throughput_of"),
        ("commands: [start]", "commands: "),
        ("notices: {latency_ms_max: 1}", "notices.latency_ms_max: there is no such"),
        ("[]", "the file: "),
        ("a: b: c", "is no YAML"),
    ],
)
def test_a_bad_file_names_the_place_and_the_fix(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ThresholdsError) as error:
        read_thresholds(path)
    assert told in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsError, match=r"nowhere\.yaml: No such file"):
        read_thresholds(tmp_path / "nowhere.yaml")


def test_an_empty_file_asks_for_nothing() -> None:
    assert list(parse(None)) == []


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(["_min", "_max"]))
def test_a_bound_is_kept_on_its_side(bound: float, found: float, end: str) -> None:
    verdict = ThresholdResult(Threshold("overall", "", f"x{end}", bound), found)
    assert verdict.holds == (found >= bound if end == "_min" else found <= bound)
    assert verdict.line().startswith(f"overall.x{end}: ")


FIGURES = {
    "asked_per_s": 100.0,
    "overall": {"count": 900, "throughput_per_s": 90.0, "latency_ms_p99": 7.0, "error_rate": 0.0,
                "latency_ms_max": 9.0},
    "commands": {"start": {"count": 5, "latency_ms_p50": 2.0}},
    "reads": {},
    "notices": {"count": 3, "lateness_ms_p99": 4.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "bound", "holds"),
    [
        ("overall throughput_per_s_min", 90, True),
        ("overall throughput_per_s_min", 91, False),
        ("overall throughput_of_asked_min", 0.9, True),
        ("overall throughput_of_asked_min", 0.91, False),
        ("overall latency_ms_p99_max", 7, True),
        ("overall latency_ms_max", 8, False),
        ("overall error_rate_max", 0, True),
        ("commands start latency_ms_p50_max", 1, False),
        ("commands start count_min", 5, True),
        ("commands pause latency_ms_p50_max", 1_000, False),
        ("commands pause count_min", 0, True),
        ("reads snapshot latency_ms_p50_max", 1_000, False),
        ("notices lateness_ms_p99_max", 4, True),
        ("notices count_min", 4, False),
    ],
)
def test_figures_are_compared_with_the_bound_of_their_name(
    place: str, bound: float, holds: bool
) -> None:
    """What was not measured keeps no bound."""
    section, *name, field = place.split()
    threshold = Threshold(section, "".join(name), field, bound)
    (verdict,) = judge([threshold], FIGURES)
    assert verdict.holds is holds


def test_as_fast_as_it_goes_asks_for_no_share() -> None:
    threshold = Threshold("overall", "", "throughput_of_asked_min", 1)
    assert judge([threshold], {**FIGURES, "asked_per_s": 0.0}) == []
