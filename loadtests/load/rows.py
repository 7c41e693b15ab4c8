"""All figures of a run as one table."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from daemon.console.table import Table
from loadtests.common.processes import MIB

COLUMNS: Final = (
    "count",
    "per s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "failed",
    "CPU %",
    "MiB",
)
CPU_PERCENT_MIN: Final = 1.0

Row = tuple[str, ...]
"""What it is about, and a cell for each column; empty where there is nothing to say."""


def rows_of(figures: Mapping[str, Any]) -> list[list[Row]]:
    """Sections of rows: commands, reads, notices, processes, stores, the audit."""
    sections = (
        _commands(figures),
        _reads(figures),
        _notices(figures["notices"]),
        _processes(figures.get("process_groups", {}), _waited_percent(figures)),
        _stores(figures["sizes"]),
        _end(figures),
    )
    return [rows for section in sections if (rows := list(section))]


def table_of(sections: list[list[Row]]) -> Table:
    """For a terminal or a pipe."""
    table = Table("Load", "", *COLUMNS)
    for rows in sections:
        for row in rows:
            table.add_row(*row)
    return table


def _row(name: str, **cells: str) -> Row:
    """``cells`` by their columns: ``per_s`` for ``per s``."""
    named = {column: cells.pop(column.replace(" ", "_").replace("%", "percent"), "")
             for column in COLUMNS}  # fmt: skip
    assert not cells, f"no such columns: {list(cells)}"
    return name, *named.values()


def _requests(name: str, found: Mapping[str, Any]) -> Row:
    return _row(
        name,
        count=f"{found['count']:,}",
        per_s=f"{found['throughput_per_s']:,.1f}",
        failed=f"{found['failures']:,}",
        **_spread("latency_ms", found),
    )


def _spread(what: str, found: Mapping[str, Any]) -> dict[str, str]:
    keys = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99", "max_ms": "max"}
    return {cell: f"{found[f'{what}_{key}']:,.1f}" for cell, key in keys.items()}


def _commands(figures: Mapping[str, Any]) -> Iterator[Row]:
    yield _row("chats open", count=f"{figures['open_chats']:,}")
    yield _requests("all commands", figures["overall"])
    for name, found in figures["commands"].items():
        yield _requests(name, found)


def _reads(figures: Mapping[str, Any]) -> Iterator[Row]:
    for name, found in figures["reads"].items():
        yield _requests(f"read {name}", found)


def _notices(notices: Mapping[str, Any]) -> Iterator[Row]:
    for kind, found in notices.get("of", {}).items():
        if found["count"]:
            cells = _spread("lateness_ms", found)
            yield _row(f"late: {kind}", count=f"{found['count']:,}", **cells)


def _waited_percent(figures: Mapping[str, Any]) -> float:
    lasted_s = figures["measured_s"]
    return 100 * figures["generator_waited_for_cpu_s"] / lasted_s if lasted_s else 0.0


def _processes(groups: Mapping[str, Any], waited_percent: float) -> Iterator[Row]:
    for role, used in groups.items():
        if not used["processes"] and used["cpu_percent"] < CPU_PERCENT_MIN:
            continue  # a helper that came and went
        yield _row(
            role,
            count=f"{used['processes']:,}",
            CPU_percent=f"{used['cpu_percent']:.1f}",
            MiB=f"{used['memory_bytes'] / MIB:,.1f}",
        )
    yield _row("Locust waited for a CPU", CPU_percent=f"{waited_percent:.1f}")


def _stores(sizes: Mapping[str, Any]) -> Iterator[Row]:
    queue, records = sizes["redis"], sizes["postgres"]
    yield _row("data in Redis", count=f"{queue['keys']:,}", MiB=_mib(queue["used_memory_bytes"]))
    if records:
        yield _row("data in Postgres", MiB=_mib(records["database_bytes"]))


def _mib(number: int) -> str:
    return f"{number / MIB:,.1f}"


def _end(figures: Mapping[str, Any]) -> Iterator[Row]:
    drained_s, audit = figures["drained_s"], figures["audit"]
    if drained_s is not None:
        yield _row("worked off after", max_ms=f"{drained_s * 1000:,.0f}")
    if not audit["ran"]:
        yield _row(f"no audit: {audit['why']}")
    elif "entries" in audit:
        cells = {"count": f"{audit['entries']:,}", "failed": f"{audit['count']:,}"}
        yield _row("audited entries", **cells)
    else:
        yield _row("the audit failed")
