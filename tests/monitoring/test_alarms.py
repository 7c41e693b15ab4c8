"""Alarms: Prometheus raises each when it should and no sooner, and a status says the same."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from daemon.gateway.metrics import STATES, Scraped
from daemon.monitoring.alarms import ALARMS, Alarm, alarms_of
from daemon.monitoring.next_steps import NEXT_STEPS, next_step, next_step_of
from daemon.monitoring.prometheus import rules
from tests.monitoring.pages import page_of, with_one_actor_down, working
from tests.monitoring.promtool import promtool

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy/prometheus/meterd-rules.yml"
MINUTES: Final = 20
TROUBLE_FROM: Final = 10
"""From this minute on something is wrong."""
UP: Final = 'up{job="meterd",instance="g"}'
ASKED_FOR: Final = frozenset(re.findall(r"meterd_\w+", " ".join(a.expr for a in ALARMS)))
BY_NAME: Final = {alarm.name: alarm for alarm in ALARMS}


class Trouble(NamedTuple):
    """Something that is wrong, and the alarms that it raises."""

    scraped: Callable[[int], Scraped | None]
    """The service in a minute; None if no gateway answers."""
    raises: tuple[str, ...]
    dropped: Callable[[int], int] = lambda _minute: 0


def _always(**wrong: Any) -> Callable[[int], Scraped]:
    return lambda minute: working(minute, **wrong)


def _since_trouble(minute: int) -> int:
    return max(0, minute - TROUBLE_FROM)


TROUBLES: Final = {
    "no gateway": Trouble(lambda _minute: None, ("MeterdNotWatched",)),
    "no daemon": Trouble(
        lambda minute: Scraped({"state": "down"}, {}, {}, working(minute).status),
        ("MeterdNotReady",),
    ),
    "degraded": Trouble(_always(state="degraded"), ("MeterdNotReady",)),
    "held": Trouble(_always(state="held"), ("MeterdNotReady", "MeterdClockHeld")),
    "lost": Trouble(_always(state="lost"), ("MeterdNotReady", "MeterdStateLost")),
    "no Redis": Trouble(
        lambda minute: Scraped({}, None, {}, working(minute).status),
        ("MeterdNotReady", "MeterdRedisAway"),
    ),
    "no Redis for a gateway that has just begun": Trouble(
        lambda _minute: Scraped({}, None, {}, None), ("MeterdNotReady", "MeterdRedisAway")
    ),
    "no Postgres": Trouble(
        lambda minute: working(minute)._replace(chats=None), ("MeterdPostgresAway",)
    ),
    "old command": Trouble(_always(queue={"oldest_ms": 10_001}), ("MeterdQueueStuck",)),
    "slow": Trouble(_always(latency_ms=1_500), ("MeterdSlow",)),
    "late": Trouble(_always(lateness_ms=1_500), ("MeterdLate",)),
    "old commit": Trouble(_always(queue={"outbox_oldest_ms": 60_001}), ("MeterdOutboxOld",)),
    "full outbox": Trouble(_always(queue={"outbox": 801}), ("MeterdOutboxFilling",)),
    "refused": Trouble(_always(queue={"refused": 1}), ("MeterdRefused",)),
    "dead letter": Trouble(_always(queue={"dead": 1}), ("MeterdDeadLetters",)),
    "commands missing": Trouble(
        lambda minute: working(minute, queue={"missing": 3 + _since_trouble(minute)}),
        ("MeterdCommandsMissing",),
    ),
    "replies dropped": Trouble(
        lambda minute: working(minute, queue={"unanswered": 3 + _since_trouble(minute)}),
        ("MeterdRepliesDropped",),
    ),
    "dead letters dropped": Trouble(
        lambda minute: working(minute, queue={"dead_dropped": 3 + _since_trouble(minute)}),
        ("MeterdDeadLettersDropped",),
    ),
    "full of reply streams": Trouble(
        _always(memory={"reply_streams": 801}), ("MeterdReplyStreamsFilling",)
    ),
    "full server": Trouble(_always(memory={"used_bytes": 80_000_001}), ("MeterdMemoryFilling",)),
    "many ids": Trouble(_always(memory={"kinds": {"ids": 50_000_001}}), ("MeterdIdsFilling",)),
    "many chats": Trouble(_always(open_chats=81), ("MeterdChatsFilling",)),
    "actor down": Trouble(_always(**with_one_actor_down()), ("MeterdActorsDown",)),
    "actors die": Trouble(
        lambda minute: working(minute, actor_restarts=2 + _since_trouble(minute)),
        ("MeterdActorsRestarting",),
    ),
    "slow readers": Trouble(
        working, ("MeterdStreamsDropped",), lambda minute: 2 * _since_trouble(minute)
    ),
}
BOUNDARY: Final = Trouble(
    _always(
        queue={"oldest_ms": 10_000, "outbox": 800, "outbox_oldest_ms": 60_000},
        latency_ms=900,
        lateness_ms=900,
        open_chats=80,
        memory={"reply_streams": 800, "used_bytes": 80_000_000, "kinds": {"ids": 50_000_000}},
    ),
    (),
)
"""As much as may be, and no more: nothing is raised."""
UNLIMITED: Final = Trouble(
    _always(memory={"limit_bytes": 0, "used_bytes": 10**12, "kinds": {"ids": 10**11}}), ()
)
"""A server without a limit is never filled."""
PLAYED: Final = {
    **TROUBLES,
    "all is well": Trouble(working, ()),
    "as much as may be": BOUNDARY,
    "no limit": UNLIMITED,
}


def _series(trouble: Trouble) -> list[dict[str, str]]:
    """A page each minute, as the real code makes it, in promtool's form."""
    values: dict[str, list[str]] = {}
    for minute in range(MINUTES + 1):
        found = _wrong(trouble, minute) if minute >= TROUBLE_FROM else _well(minute)
        for name in found.keys() | values.keys():
            values.setdefault(name, ["_"] * minute).append(found.get(name, "stale"))
    return [{"series": name, "values": " ".join(told)} for name, told in values.items()]


@cache
def _well(minute: int) -> dict[str, str]:
    return {UP: "1", **_samples(page_of(working(minute)))}


def _wrong(trouble: Trouble, minute: int) -> dict[str, str]:
    scraped = trouble.scraped(minute)
    if scraped is None:
        return {UP: "0"}
    return {UP: "1", **_samples(page_of(scraped, trouble.dropped(minute)))}


def _samples(page: str) -> dict[str, str]:
    """The samples that an alarm asks for, as they are written."""
    lines = [line.rpartition(" ") for line in page.splitlines()]
    return {name: value for name, _, value in lines if name.partition("{")[0] in ASKED_FOR}


def _checks(trouble: Trouble) -> list[dict[str, Any]]:
    return [
        {
            "eval_time": f"{minute}m",
            "alertname": alarm.name,
            "exp_alerts": [_raised(alarm)] if is_raised else [],
        }
        for alarm in ALARMS
        for minute, is_raised in (
            (TROUBLE_FROM - 1, False),
            (TROUBLE_FROM + _for_minutes(alarm) - 1, False),
            (MINUTES, alarm.name in trouble.raises),
        )
    ]


def _for_minutes(alarm: Alarm) -> int:
    return int(alarm.for_.removesuffix("m"))


def _raised(alarm: Alarm) -> dict[str, Any]:
    runbook = f"docs/operations.md#{alarm.runbook}"
    return {
        "exp_labels": {"severity": alarm.severity},
        "exp_annotations": {"summary": alarm.summary, "runbook": runbook},
    }


def test_prometheus_raises_each_alarm_when_it_should_and_no_other(tmp_path: Path) -> None:
    """By pages that the real code makes, minute by minute: before, just before its time, after."""
    plan = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": name,
                "interval": "1m",
                "input_series": _series(trouble),
                "alert_rule_test": _checks(trouble),
            }
            for name, trouble in PLAYED.items()
        ],
    }
    file = tmp_path / "plan.yml"
    file.write_text(yaml.safe_dump(plan))
    promtool("test", "rules", str(file))


def test_one_gateway_that_knows_is_enough(tmp_path: Path) -> None:
    """The highest of what they tell passes over what another one can't know, and has just begun."""
    plan = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'meterd_{name}{{instance="{gateway}"}}', "values": values}
                    for name, known in (("open_chats", "7x9"), ("credits_charged_total", "0+2x9"))
                    for gateway, values in (("new", " ".join(["NaN"] * 10)), ("old", known))
                ],
                "promql_expr_test": [
                    {"expr": expr, "eval_time": "9m", "exp_samples": [{"labels": "{}", "value": n}]}
                    for expr, n in (
                        ("max(meterd_open_chats)", 7),
                        ("max(increase(meterd_credits_charged_total[5m]))", 10),
                    )
                ],
            }
        ],
    }
    file = tmp_path / "plan.yml"
    file.write_text(yaml.safe_dump(plan))
    promtool("test", "rules", str(file))


def test_every_alarm_has_a_trouble_that_raises_it() -> None:
    assert {name for trouble in TROUBLES.values() for name in trouble.raises} == set(BY_NAME)


@pytest.mark.parametrize("name", PLAYED)
def test_a_status_shows_the_alarms_that_prometheus_raises(name: str) -> None:
    """But for those that no status can know of; and the table names them."""
    scraped = PLAYED[name].scraped(MINUTES)
    if scraped is None or scraped.queue is None:
        return  # there is no status then
    shown = {alarm["name"] for alarm in alarms_of(scraped.status)}
    assert shown == {one for one in PLAYED[name].raises if BY_NAME[one].holds is not None}


def test_the_rules_file_is_made_from_the_table() -> None:
    """python -m daemon.monitoring.prometheus > deploy/prometheus/meterd-rules.yml"""
    assert RULES.read_text() == rules()
    promtool("check", "rules", str(RULES))


def test_the_example_configuration_is_one_that_prometheus_takes() -> None:
    assert "SUCCESS" in promtool("check", "config", str(RULES.with_name("prometheus.yml")))


def test_the_documentation_has_every_alarm_and_what_to_do() -> None:
    """The same names, severities and times; each has a heading to go to."""
    text = (ROOT / "docs/operations.md").read_text()
    anchors = {
        re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for alarm in ALARMS:
        assert alarm.runbook in anchors, alarm.name
    assert re.findall(r"^\| `Meterd\w+` \|.*$", text, re.MULTILINE) == [
        f"| `{alarm.name}` | {alarm.severity} | {alarm.for_} | {alarm.summary} "
        f"| [what to do](#{alarm.runbook}) |"
        for alarm in ALARMS
    ]


def test_every_state_has_its_next_step() -> None:
    """What a person reads at night is never left open; only who works has nothing to do."""
    assert set(STATES) <= set(NEXT_STEPS)
    assert [state for state in NEXT_STEPS if next_step(state) is None] == ["ready"]
    assert next_step("something new") is not None


def _replacing(state: str, why: str, **more: Any) -> dict[str, Any]:
    replacing = {"since": 1, "attempt": 1, "why": "its process 7 has ended"}
    actors = [{"name": "chat-1", "replacing": None}, {"name": "chat-2", "replacing": replacing}]
    return {"state": state, "why": why, "actors": actors, **more}


REPLACED = "chat-2 is being replaced, attempt 1, for 0 s: its process 7 has ended"


@pytest.mark.parametrize("why", [REPLACED, f"partition 3: {REPLACED}", f"{REPLACED}; Postgres: x"])
@pytest.mark.parametrize("state", ["ready", "degraded"])
def test_while_an_actor_is_replaced_the_next_step_names_its_log(state: str, why: str) -> None:
    """No server is to be brought back; when to look, and where, is said from the first second."""
    step = next_step_of(_replacing(state, why))
    assert step is not None
    assert step.startswith("Nothing, unless it lasts longer than two minutes")
    assert "logs/chat-2.log" in step


def test_a_state_with_another_cause_has_its_own_next_step() -> None:
    """An actor that is replaced meanwhile does not hide what a person has to do."""
    for state, why in (("degraded", "Redis: away"), ("held", REPLACED), ("lost", REPLACED)):
        assert next_step_of(_replacing(state, why)) == NEXT_STEPS[state]
    assert next_step_of({"state": "ready", "why": "", "actors": []}) is None


def test_while_a_recorder_is_replaced_the_next_step_names_its_log() -> None:
    """With several partitions there are several, and the status does not tell which."""
    recorder, why = {"replacing": {"attempt": 1}}, "recorder is being replaced, attempt 1"
    status = {"state": "ready", "why": why, "recorder": recorder}
    assert "logs/recorder.log" in str(next_step_of(status))
    assert "logs/*recorder.log" in str(next_step_of({**status, "partitions": [{}, {}]}))


def test_an_actor_that_has_never_been_up_and_has_no_chat_is_not_missed() -> None:
    """It is being started for chats to come; Prometheus waits for minutes before it complains."""
    status = {"state": "ready", "actors": [{"up": False, "restarts": 0, "chats": 0}]}
    assert list(alarms_of(status)) == []
    status["actors"] = [{"up": False, "restarts": 0, "chats": 1}]
    assert [alarm["name"] for alarm in alarms_of(status)] == ["MeterdActorsDown"]


def test_where_nothing_is_known_nothing_is_raised_but_the_state() -> None:
    """A status of a daemon that is down, or of another version, has few fields."""
    assert [alarm["name"] for alarm in alarms_of({})] == ["MeterdNotReady"]
    assert list(alarms_of({"state": "ready", "queue": None, "recent": {}})) == []
