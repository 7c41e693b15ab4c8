"""``python -m loadtests.load``: a daemon, load on it, one table and a report. ``make load``."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from daemon.console.common import print_table
from loadtests.common.live import live_daemon
from loadtests.common.processes import Sampler, grouped
from loadtests.common.watchdog import end_with_us
from loadtests.load.addresses import AddressesError, check
from loadtests.load.generators import merged, shares
from loadtests.load.options import (
    PREFIX,
    LoadOptions,
    OptionsError,
    add_to_runner,
    load_options_of,
    typed,
)
from loadtests.load.report import write_report
from loadtests.load.rows import rows_of, table_of
from loadtests.load.teardown import audit, problems
from loadtests.load.thresholds import Threshold, ThresholdsError, read_thresholds

LOCUSTFILE: Final = Path(__file__).parents[1] / "locustfile.py"
LOCUST: Final = "Locust"
STOP_S_MAX: Final = 120.0
LOOK_S: Final = 0.2
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
NOT_PASSED_ON: Final = (PREFIX, "METERD_TEST_", "METERD_HOME", "METERD_CONFIG")
ADDRESSES: Final = ("METERD_REDIS__URL", "METERD_POSTGRES__URL")

DESCRIPTION: Final = """\
Keep many chats open on a real daemon, send commands, read snapshots, and see how long it all takes.

Without --redis-url a daemon is started for it, on servers of its own in a folder of its own, all of
which are gone afterwards. Chats are opened first; figures are of the measured phase after that.
Then everything is ended, worked off and audited. Exit codes: 0 all thresholds hold and the audit
is clean; 1 not so, or nothing was measured; 2 wrong options."""

EXAMPLES: Final = """\
examples:
  make load                                          two minutes, 10 000 chats
  METERD_LOAD_DURATION=30s METERD_LOAD_CHATS=500 make load
  make load ARGS="--shape ramp --rate 2000 --duration 5m"
  make load ARGS="--rate 0 --in-flight 200"          as fast as it goes
  make load ARGS="--loop open --rate 2000 --in-flight 2000"   the rate is held, come what may
  make load ARGS="--generators 4 --rate 4000"        four Locust processes share the load
  METERD_ACTORS__MAX=8 make load                     settings of the daemon go through
  python -m loadtests.load --redis-url redis://queue:6379/0 --postgres-url postgresql://db/meterd

In the folder of the report: report.html, figures.json, and Locust's own report, CSV files and log.
"""


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit code says whether it went well."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.load", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--out", default=os.environ.get(PREFIX + "OUT", ""),
        help="folder of the report (default .meterd/load/ and the time)",
    )  # fmt: skip
    add_to_runner(parser, os.environ)
    parsed = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = Path(parsed.out or f".meterd/load/{time.strftime('%Y%m%d-%H%M%S')}").absolute()
    try:
        return run(load_options_of(parsed), out)
    except (AddressesError, OptionsError, ThresholdsError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE


def run(options: LoadOptions, out: Path) -> int:
    """One run with its report in ``out``."""
    thresholds = read_thresholds(Path(options.thresholds))
    out.mkdir(parents=True, exist_ok=True)
    with _daemon(options) as (where, root):
        check(where)
        with Sampler(root) as sampler:
            if options.generators == 1:
                found = _one_generator(where, out, sampler)
            else:
                found = _several_generators(where, out, sampler, thresholds)
    if found is None:
        return EXIT_FAILED
    figures = _with_processes(found, sampler, options)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    write_report(figures, out / "report.html")
    _print(figures, out)
    return EXIT_FAILED if figures["problems"] else 0


def _one_generator(options: LoadOptions, out: Path, sampler: Sampler) -> dict[str, Any] | None:
    """Locust does all of it, the audit and the thresholds too; None: it left no figures."""
    process = _locust(options._replace(figures=str(out / "figures.json")), out, sampler, LOCUST)
    try:
        _waited(process)
    finally:
        _stop(process)
    return _figures(out / "figures.json")


def _several_generators(
    options: LoadOptions, out: Path, sampler: Sampler, thresholds: list[Threshold]
) -> dict[str, Any] | None:
    """Each does a share; the thresholds and the audit are of all of them together."""
    began_s = time.time()
    with tempfile.TemporaryDirectory(prefix="meterd-load-") as barrier:
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for number, share in enumerate(shares(options, barrier), 1):
                folder = out / f"generator-{number}"
                folder.mkdir(exist_ok=True)
                wanted = share._replace(figures=str(folder / "figures.json"))
                processes.append(_locust(wanted, folder, sampler, f"{LOCUST} {number}"))
            _wait_for_all(processes, Path(barrier))
        finally:
            for process in processes:
                _stop(process)
    found = [
        _figures(out / f"generator-{n}" / "figures.json") for n in range(1, len(processes) + 1)
    ]
    parts = [one for one in found if one is not None]
    if len(parts) < len(processes):
        return None
    figures = merged(parts)
    figures["audit"] = audit(options, began_s, lambda text: print(text, file=sys.stderr))
    figures["problems"] += problems(figures, thresholds)
    return figures


def _wait_for_all(processes: "list[subprocess.Popen[bytes]]", barrier: Path) -> None:
    """Until all have ended; once one has ended that others wait for, stop them."""
    try:
        while any(process.poll() is None for process in processes):
            is_one_over = any(process.poll() is not None for process in processes)
            if is_one_over and len(list(barrier.glob("ready-*"))) < len(processes):
                return
            time.sleep(LOOK_S)
    except KeyboardInterrupt:  # the terminal has told all of them, too
        for process in processes:
            process.wait(timeout=STOP_S_MAX)


def _figures(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        print(f"Locust ended without figures; see {path.with_name('locust.log')}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@contextlib.contextmanager
def _daemon(options: LoadOptions) -> Iterator[tuple[LoadOptions, int | None]]:
    """Where the load goes, and the daemon's process if it is one of ours."""
    if options.redis_url:
        yield options, None
        return
    print("starting a daemon", file=sys.stderr, flush=True)
    with live_daemon(**_settings(os.environ)) as daemon:
        assert daemon.process is not None, "it was started"
        where = options._replace(redis_url=daemon.redis_url, postgres_url=daemon.postgres_url)
        yield where, daemon.process.pid


def _settings(env: Mapping[str, str]) -> dict[str, str]:
    """The daemon's settings in the environment; where servers are is our business."""
    return {
        name: value
        for name, value in env.items()
        if name.startswith("METERD_") and not name.startswith(NOT_PASSED_ON)
        and name not in ADDRESSES
    }  # fmt: skip


def _locust(
    options: LoadOptions, out: Path, sampler: Sampler, role: str
) -> "subprocess.Popen[bytes]":
    """Locust in a process of its own; nothing of it is left if we are stopped."""
    Path(options.figures).unlink(missing_ok=True)
    # Addresses may hold passwords, so they are not on a command line.
    urls = {
        f"{PREFIX}{name.upper()}": getattr(options, name) for name in ("redis_url", "postgres_url")
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"),
            *("--csv", str(out / "locust"), "--csv-full-history"),
            *("--html", str(out / "locust.html"), "--json-file", str(out / "locust")),
            *("--logfile", str(out / "locust.log"), *typed(options)),
        ],
        env={**os.environ, **urls}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    end_with_us(process.pid)
    sampler.others[role] = process.pid
    return process


def _waited(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait()
    except KeyboardInterrupt:  # the terminal has told Locust, too: it ends what it has opened
        process.wait(timeout=STOP_S_MAX)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _with_processes(
    figures: dict[str, Any], sampler: Sampler, options: LoadOptions
) -> dict[str, Any]:
    """What was asked for, and what it took of CPU and memory."""
    span = figures["measured_from_s"], figures["measured_to_s"]
    used = sampler.between(*span)
    asked = {k: v for k, v in options._asdict().items() if not k.endswith("_url")}
    return {
        "asked": {**asked, "thresholds": Path(options.thresholds).name},
        **figures,
        "processes": {role: one._asdict() for role, one in used.items()},
        "process_groups": {role: one._asdict() for role, one in grouped(used).items()},
        "process_series": [
            sample._replace(at_s=round(sample.at_s - span[0], 3))._asdict()
            for sample in sampler.samples
            if span[0] - 1 <= sample.at_s <= span[1] + 1
        ],
        "machine": {"cores": os.cpu_count(), "load_1m": os.getloadavg()[0]},
    }


def _print(figures: dict[str, Any], out: Path) -> None:
    print_table(table_of(rows_of(figures)))
    for problem in figures["problems"]:
        print(f"FAILED: {problem}")
    print("failed" if figures["problems"] else "passed", f"· report: {out}/report.html")


if __name__ == "__main__":
    sys.exit(main())
