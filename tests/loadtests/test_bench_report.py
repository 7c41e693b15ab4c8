"""From figures to the table, the document and the drawings."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench import document, figures, plots, run, targets
from loadtests.bench.figures import BenchFigures
from loadtests.bench.plan import QUICK, BenchPlan, Sizes
from loadtests.bench.stages import SHOWN
from loadtests.bench.targets import Check
from tests.project._project import ROOT

VALUES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=5)


def _figures(**values: list[float]) -> BenchFigures:
    made = BenchFigures()
    for name, rounds in values.items():
        for value in rounds:
            made.add(name, value, "x")
    return made


@given(VALUES, st.floats(0.001, 1e6))
def test_a_promise_is_kept_if_the_middle_round_keeps_it(rounds: list[float], bound: float) -> None:
    """One lucky or unlucky round decides nothing; the bound itself is within."""
    made = _figures(f=rounds)
    middle = made.by_name["f"].median
    least = targets.verdict((Check("f", "", least=bound),), made)
    most = targets.verdict((Check("f", "", most=bound),), made)
    assert (least == targets.REACHED) == (middle >= bound)
    assert (most == targets.REACHED) == (middle <= bound)


@given(st.lists(st.tuples(st.floats(1, 9), st.booleans()), min_size=1, max_size=4))
def test_a_promise_of_several_bounds_needs_all_of_them(kept: list[tuple[float, bool]]) -> None:
    made = _figures(**{f"f{i}": [value] for i, (value, _) in enumerate(kept)})
    checks = tuple(
        Check(f"f{i}", "", most=value if is_kept else value / 2)
        for i, (value, is_kept) in enumerate(kept)
    )
    all_kept = all(is_kept for _, is_kept in kept)
    assert targets.verdict(checks, made) == (targets.REACHED if all_kept else targets.MISSED)


def test_a_promise_without_all_its_figures_is_not_measured_and_says_why() -> None:
    """Half of a promise is not judged."""
    made = _figures(half_p50_ms=[1.0])
    made.why = "TooLongError: not done within 15 minutes"
    rows = targets.rows({"latency": made})
    (row,) = [row for row in rows if "--only latency" in row.command and "half" in row.what]
    assert row.verdict == f"{targets.NOT_MEASURED}: {made.why}"
    assert "p50 1" in row.measured


def test_every_line_of_the_design_has_its_row() -> None:
    """Even if nothing was measured; each names the command that would."""
    rows = targets.rows({})
    assert {row.verdict for row in rows} == {targets.NOT_MEASURED}
    assert {promise.measurement for promise in targets.PROMISES} == set(run.NAMES)
    assert all(row.command.startswith("make bench") for row in rows if row.target)


@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.text(), st.lists(st.text()))
def test_figures_come_back_from_their_file(
    values: dict[str, list[float]], why: str, notes: list[str]
) -> None:
    """Rounded as written, and the same when written again."""
    made = _figures(**values)
    made.why, made.notes, made.on = why, notes, "2026-01-31"
    once = figures.from_json(made.as_json())
    assert once.as_json() == figures.from_json(once.as_json()).as_json()
    assert (once.why, once.notes, once.on) == (why, notes, "2026-01-31")
    for name, rounds in values.items():
        assert once.by_name[name].values == pytest.approx(rounds, rel=1e-3)


TEXT = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]))


@given(TEXT, TEXT, TEXT, TEXT)
def test_what_stands_outside_the_markers_stays(before: str, after: str, old: str, new: str) -> None:
    """Whoever writes beside the table keeps what was written, any number of times."""
    text = f"{before}<!-- t -->{old}<!-- /t -->{after}"
    once = document.between(text, "t", new)
    assert once == f"{before}<!-- t -->\n{new}\n<!-- /t -->{after}"
    assert document.between(once, "t", new) == once


def test_a_document_without_the_markers_is_refused() -> None:
    """Rather than results that nobody finds."""
    with pytest.raises(ValueError, match="<!-- t -->"):
        document.between("no place", "t", "x")


def test_the_projects_document_has_a_place_for_everything() -> None:
    """All three markers, once."""
    text = (ROOT / "docs" / "performance.md").read_text()
    for name in ("table", "plots", "notes"):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1


def test_a_cell_can_not_break_the_table() -> None:
    """Errors go into cells as well."""
    lines = document.markdown(("a",), [("x | y\nz",)]).splitlines()
    assert lines[2:] == ["| x \\| y z |"]


def _everything() -> dict[str, BenchFigures]:
    sizes = {f"{n}@{s}": [float(s)] for n in ("cpu_percent", "memory_mib") for s in (1, 10)}
    return {
        "throughput": _figures(
            commands_per_s=[1, 2, 3], max_throughput_per_s=[4.0], peer_arq_per_s=[0.5]
        ),
        "latency": _figures(half_p50_ms=[1.0, 2.0]),
        "stages": _figures(**{f"{stage}_ms@{n}": [0.5] for stage in SHOWN for n in (1, 2)}),
        "timer_latency": _figures(p50_ms=[3.0]),
        "idle_cost": _figures(**sizes),
        "actors": _figures(**sizes),
    }


def test_drawings_differ_only_where_figures_do(tmp_path: Path) -> None:
    """No dates and no random names in them, so that a change is a change."""
    drawn = plots.draw(tmp_path / "a", _everything())
    assert drawn == list(plots.DRAWINGS)
    plots.draw(tmp_path / "b", _everything())
    for name in drawn:
        one, other = (tmp_path / folder / f"{name}.svg" for folder in "ab")
        assert one.read_bytes() == other.read_bytes()


def test_nothing_measured_is_nothing_drawn(tmp_path: Path) -> None:
    assert plots.draw(tmp_path, {name: BenchFigures() for name in plots.DRAWINGS}) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.01234, "0.0123"), (5.0, "5"), (57.94, "57.9"), (431.4, "431"), (43_210.0, "43 200")],
)
def test_three_digits_are_shown(value: float, shown: str) -> None:
    assert targets.number(value) == shown


def test_a_measurement_that_fails_says_why_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing that goes wrong in one is any other's business."""

    def fail(_plan: BenchPlan, made: BenchFigures) -> None:
        made.add("so_far", 1, "x")
        raise RuntimeError("no memory")

    def work(_plan: BenchPlan, made: BenchFigures) -> None:
        made.add("f", 2, "x")

    monkeypatch.setattr(run, "all_of_them", lambda _: {"throughput": fail, "latency": work})
    measured = run.run(BenchPlan(QUICK, 1, False, lambda _: None), ["latency", "throughput"])
    assert list(measured) == ["throughput", "latency"]
    assert measured["throughput"].why == "RuntimeError: no memory"
    assert measured["throughput"].get("so_far")
    assert not measured["latency"].why


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("see /tmp/mb-x/home.out:\n it ended", "see (path): it ended"),
        ('File "/opt/venv/lib/a.py", line 3', 'File "(path)", line 3'),
        ("no answer at redis://default:secret@127.0.0.1:6379/0", "no answer at (path)"),
        ("1/s and and/or", "1/s and and/or"),
    ],
)
def test_an_error_names_no_place_of_this_machine(said: str, kept: str) -> None:
    """It goes into the document, and neither paths nor passwords belong there."""
    assert run.without_paths(said) == kept


def test_what_takes_too_long_is_stopped() -> None:
    """Whatever hangs; what comes after has its time again."""
    with pytest.raises(run.TooLongError), run.at_most(0.05):
        time.sleep(5)
    with run.at_most(5):
        time.sleep(0.06)


def test_quick_sizes_are_smaller() -> None:
    """Each of them, or the quick run is not quick."""
    defaults = Sizes()._asdict()
    for name, value in QUICK._asdict().items():
        assert _size(value) < _size(defaults[name]), name


def _size(value: object) -> float:
    if isinstance(value, tuple):
        return sum(_size(one) for one in value)
    return float(value) if isinstance(value, int | float) else 0.0
