"""After the measured phase: chats are ended, everything is worked off, all is audited."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent
import redis

from loadtests.common.live import METERD
from loadtests.load.options import LoadOptions, without_ours
from loadtests.load.run import LoadRun
from loadtests.load.sizes import sizes
from loadtests.load.thresholds import Threshold, judge
from meterd.rules.commands import entry_key
from meterd.rules.redis_keys import Keys
from persistence.redis.client import connect

KEYS: Final = Keys()
LOOK_S: Final = 0.2
AUDIT_S_MAX: Final = 3600
EVENTS_S: Final = 1.0
"""For the last events to be read."""
SHOWN_MAX: Final = 5

Say = Callable[[str], None]


def close(run: LoadRun, thresholds: list[Threshold], say: Say) -> dict[str, Any]:
    """Bring a run to its end; all figures, with everything that is wrong under ``problems``."""
    run.cut_short()
    closed_ms = run.queue_ms()
    figures = run.document()
    with contextlib.closing(connect(run.options.redis_url)) as client:
        figures["sizes"] = sizes(client, run.options.postgres_url)
        if run.options.leave_open == "no":
            say(f"ending {run.open_chats:,} chats")
            run.end_chats()
        say("waiting until everything is worked off")
        figures["drained_s"] = _drained_s(client, run.options.drain)
    _judge_notices(run, closed_ms)
    run.stop_helpers()
    figures["audit"] = audit(run.options, run.began_s, say)
    run.close()
    figures["problems"] = run.schedule.problems + problems(figures, thresholds)
    return figures


def _drained_s(client: redis.Redis, seconds: float) -> float | None:
    """How long until the queue and the outbox have moved past their ends; None: not in time."""
    began_s = time.monotonic()
    for is_done in (_is_handled(client), _is_stored(client)):
        while not is_done():
            if time.monotonic() - began_s > seconds:
                return None
            gevent.sleep(LOOK_S)
    return round(time.monotonic() - began_s, 3)


def _is_handled(client: redis.Redis) -> Callable[[], bool]:
    """Whether the daemon is done with all that is in the queue now."""
    stream: Any = client.xinfo_stream(KEYS.commands)
    end = stream["last-generated-id"]

    def holds() -> bool:
        groups: Any = client.xinfo_groups(KEYS.commands)
        return all(_is_past(client, group, end) for group in groups)

    return holds


def _is_past(client: redis.Redis, group: Any, end: bytes) -> bool:
    pending: Any = client.xpending(KEYS.commands, group["name"])
    is_read = entry_key(group["last-delivered-id"].decode()) >= entry_key(end.decode())
    is_done = not pending["pending"] or entry_key(pending["min"].decode()) > entry_key(end.decode())
    return is_read and is_done


def _is_stored(client: redis.Redis) -> Callable[[], bool]:
    """Whether Postgres has all that waits for it when this is first asked."""
    end: list[tuple[int, int]] = []

    def holds() -> bool:
        last: Any = client.xrevrange(KEYS.outbox, count=1)
        first: Any = client.xrange(KEYS.outbox, count=1)
        if not last:
            return True
        end[:] = end or [entry_key(last[0][0].decode())]
        return bool(first) and entry_key(first[0][0].decode()) > end[0]

    return holds


def _judge_notices(run: LoadRun, until_ms: int) -> None:
    """Everything expected before the chats were ended has come, at its computed millisecond."""
    if not run.options.notices or not run.schedule.measured_from_s:
        return
    gevent.sleep(EVENTS_S)
    expectations = run.timer_probes.expectations
    missing = expectations.missing(until_ms)
    for what, found in (("missing", missing), ("of another millisecond", expectations.wrong)):
        if found:
            shown = "; ".join(found[:SHOWN_MAX])
            run.schedule.problems.append(f"{len(found)} notices {what}, such as: {shown}")


def audit(options: LoadOptions, began_s: float, say: Say) -> dict[str, Any]:
    """``meterd audit``; without Postgres there is none, and that is said."""
    if options.audit == "none" or not options.postgres_url:
        return {"ran": False, "why": "not asked for" if options.postgres_url else "no Postgres"}
    say("auditing")
    since = [] if options.audit == "all" else ["--since", f"{int(time.time() - began_s) + 60}s"]
    done = subprocess.run(
        [METERD, "audit", "--json", *since],
        env=_environment(options), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=AUDIT_S_MAX,
    )  # fmt: skip
    try:
        return {"ran": True, **json.loads(done.stdout)}
    except ValueError:
        return {"ran": True, "ok": False, "why": done.stderr.strip()[-500:]}


def _environment(options: LoadOptions) -> dict[str, str]:
    urls = {"METERD_REDIS__URL": options.redis_url, "METERD_POSTGRES__URL": options.postgres_url}
    return {**without_ours(), **urls}


def problems(figures: dict[str, Any], thresholds: list[Threshold]) -> list[str]:
    """What makes the run fail, whatever it was good for otherwise."""
    found = [v.line() for v in judge(thresholds, figures) if not v.holds]
    if not figures["overall"]["count"]:
        found.insert(0, "no command was measured at all")
    if figures["drained_s"] is None:
        found.append("commands or records were not worked off in time (--drain)")
    audited = figures["audit"]
    if audited["ran"] and not audited["ok"]:
        found.append(f"the audit found differences: {audited.get('why') or _differences(audited)}")
    return found


def _differences(audited: dict[str, Any]) -> str:
    shown = [f"{d['kind']} {d['user']} {d['chat'] or ''}" for d in audited["differences"]]
    return f"{audited['count']} differences, such as {'; '.join(shown[:SHOWN_MAX])}"


def write(figures: dict[str, Any], path: str) -> None:
    """Write all figures down, for the runner and for programs."""
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
