"""One run: load goes on, faults are injected and undone, recovery is measured, all is audited."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from loadtests.common.queue import is_handled
from loadtests.common.timeouts import scaled
from tests.chaos.checker import check
from tests.chaos.environment import POLICY, ChaosEnvironment
from tests.chaos.evidence import Evidence, collect, save
from tests.chaos.faults import Fault, NothingThereError
from tests.chaos.faults.fault import Blow
from tests.chaos.fencing import Epochs
from tests.chaos.load import Client, Probe, Traffic
from tests.chaos.processes import send
from tests.chaos.report import Report, Strike
from tests.load import KEYS, Load

RECOVERY_S_MAX = float(os.environ.get("CHAOS_RECOVERY_S") or scaled(60))
SLOW_S = 0.5
DRAIN_S_MAX = scaled(120)
AUDIT_S_MAX = scaled(900)
LOOK_S = 0.05
PROBES = 8

Say = Callable[[str], None]


class Run:
    """An environment under load, and what was done to it."""

    brief = False
    """Whether faults last only as long as they must."""

    def __init__(
        self, environment: ChaosEnvironment, seed: int, per_second: int = 150, say: Say = print
    ) -> None:
        """The load begins at once; the same seed brings the same load and the same faults."""
        self.environment = environment
        self.report = Report(seed)
        self.say = say
        self.draw = random.Random(seed)
        url = environment.to_clients.url
        self.probe = Probe(url, Load(PROBES, 1, seed, "probe-"))
        self.probe.begin()
        clients = [Client(url, Load(40, 3, seed + n, f"{name}-")) for n, name in enumerate("ab", 1)]
        self._clients: list[Client] = [*clients, self.probe]
        self._traffic = Traffic(clients, per_second)
        self._epochs = Epochs()
        self._states: list[str] = []
        self._asked: list[str] = []
        self._tries = 0
        self._began = time.monotonic()

    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def strike(self, *faults: Fault) -> Strike | None:
        """Strike, fix, wait until all works again; None if there was nothing to strike.

        Several faults are struck one right after the other, and fixed in the opposite order.
        """
        self._states = []
        self.environment.family()
        self._asked = one_of_each_actor(self.environment)
        # Of its own, so that what happens to be there does not change what is drawn next.
        draw = random.Random(f"{self.report.seed} {self._tries}")
        self._tries += 1
        hold_s = max(f.hold_s[0] if self.brief else draw.uniform(*f.hold_s) for f in faults)
        struck = [(fault, blow) for fault in faults if (blow := self._blow(fault, draw))]
        if not struck:
            return None
        self._watch(hold_s)
        for _, blow in reversed(struck):
            blow.heal()
        return self._fixed(*zip(*struck, strict=True))

    def _blow(self, fault: Fault, draw: random.Random) -> Blow | None:
        with contextlib.suppress(NothingThereError):
            return fault.strike(self.environment, draw)
        return None

    def _fixed(self, faults: Sequence[Fault], blows: Sequence[Blow]) -> Strike:
        name = " + ".join(fault.name for fault in faults)
        what = "; ".join(blow.what for blow in blows)
        kills = sum(blow.kills for blow in blows)
        strike = Strike(name, kills, at_s=self.elapsed_s(), what=what)
        self._recovered(strike, max(fault.settle_s for fault in faults))
        self.report.add(strike)
        self.say(strike.line())
        return strike

    def rest(self, seconds: float) -> None:
        """Let the load go on for a while with nothing broken."""
        self._watch(seconds)

    def finish(self) -> Evidence:
        """End every chat, wait until all is handled, stop the daemon, judge all that is left."""
        self._traffic.stop()
        self.probe.read_replies()
        for client in self._clients:
            client.finish()
        self.report.drained = self._until(self._is_drained, DRAIN_S_MAX) is not None
        self.report.audit = self._audit()
        evidence = self._collect()
        self.environment.stop_daemon()
        left = self.environment.left_over()
        self.report.left_over = [f"{p.pid} {p.title[:80]}" for p in left]
        self.report.findings = check(evidence)
        self.report.commands = len(evidence.stream)
        self.report.elapsed_s = self.elapsed_s()
        return evidence

    def keep(self, evidence: Evidence | None, folder: Path) -> None:
        """Write down what is needed to find out what happened."""
        if evidence is not None:
            save(evidence, folder)

    def _recovered(self, strike: Strike, settle_s: float) -> None:
        """From the fix until every probe is answered at once, and until Postgres has that.

        What is killed may take a while to fall, and answers until then: hence one probe after
        another, for ``settle_s``.
        """
        healed = time.monotonic()
        strike.answered_s = self._answer_s(strike)
        while time.monotonic() < healed + settle_s and not strike.trouble:
            took = self._answer_s(strike)
            if took is None or took > SLOW_S:
                strike.answered_s = took and time.monotonic() - healed
        stored = self._until(self._is_stored_after(), RECOVERY_S_MAX, strike)
        if stored is None:
            strike.trouble.append(f"not in Postgres within {RECOVERY_S_MAX:.0f} s")
            self._help(strike)
        strike.stored_s = None if stored is None else stored - healed
        strike.states = self._states

    def _answer_s(self, strike: Strike) -> float | None:
        """How long one round of probes takes to be answered; with help if it never is."""
        asked = time.monotonic()
        wanted = self.probe.ask(self._asked)
        answered = self._until(lambda: self._is_answered(wanted), RECOVERY_S_MAX, strike)
        if answered is None:
            strike.trouble.append(f"not answered within {RECOVERY_S_MAX:.0f} s")
            self._help(strike)
        return None if answered is None else answered - asked

    def _is_answered(self, wanted: set[str]) -> bool:
        self.probe.read_replies()
        return wanted <= self.probe.answered()

    def _is_stored_after(self) -> Callable[[], bool]:
        """Whether the outbox has moved past what is in it now."""
        with contextlib.closing(self.environment.client()) as client:
            last: Any = client.xrevrange(KEYS.outbox, count=1)

        def holds() -> bool:
            with contextlib.closing(self.environment.client()) as client:
                return not last or not client.xrange(KEYS.outbox, last[0][0], last[0][0])

        return holds

    def _until(
        self, holds: Callable[[], bool], seconds: float, strike: Strike | None = None
    ) -> float | None:
        """When it began to hold; None if it did not. A daemon that has ended is started again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError):
                if holds():
                    return time.monotonic()
            if self.environment.has_ended():
                self._start_again(strike)
            self._look()
        return None

    def _start_again(self, strike: Strike | None) -> None:
        """What a service manager does when the daemon has ended by itself."""
        process = self.environment.daemon.process
        code = process.returncode if process else None
        if strike is not None:
            strike.trouble.append(f"the daemon ended by itself (exit {code})")
        self.environment.daemon.launch()

    def _help(self, strike: Strike) -> None:
        """What an operator would do: SIGKILL for all of it, then start it again."""
        strike.trouble.append("helped by a restart")
        for process in self.environment.family():
            send(process.pid, signal.SIGKILL)
        assert self.environment.daemon.process is not None
        self.environment.daemon.process.wait(timeout=scaled(30))
        self.environment.postgres.start()
        self.environment.daemon.launch()
        wanted = self.probe.ask(self._asked)
        if self._until(lambda: self._is_answered(wanted), RECOVERY_S_MAX) is None:
            raise TimeoutError(f"not even a restart helps after: {strike.fault}")

    def _watch(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._look()

    def _look(self) -> None:
        """Note the daemon's state where it differs from the last, and who may write."""
        state = self.environment.status()["state"]
        if self._states[-1:] != [state]:
            self._states.append(state)
        with contextlib.closing(self.environment.client()) as client:
            self._epochs.look(client)
        time.sleep(LOOK_S)

    def _is_drained(self) -> bool:
        with contextlib.closing(self.environment.client()) as client:
            return is_handled(client)

    def _collect(self) -> Evidence:
        url = self.environment.redis.url
        with contextlib.closing(self.environment.client()) as client:
            postgres_url, queue_log = self.environment.postgres.url, self.environment.queue_log
            found = collect(client, url, postgres_url, self._clients, POLICY, queue_log)
            found.stale_writers = self._epochs.stale_writers(client)
        self.report.epochs = len(self._epochs)
        return found

    def _audit(self) -> str:
        """What ``meterd audit`` says."""
        done = self.environment.daemon.run("audit", "--json", timeout_s=AUDIT_S_MAX)
        return "holds" if done.returncode == 0 else f"{done.returncode}: {done.stdout[-2000:]}"


def one_of_each_actor(environment: ChaosEnvironment) -> list[str]:
    """A chat on each chat actor, as far as anybody says."""
    actors = environment.status().get("actors", [])
    return [actor["chat_ids"][0] for actor in actors if actor["chat_ids"]]
