"""A backend sends nothing that the rules refuse, in whatever order it works."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.command_mix import ACTS, MIXES
from loadtests.load.workload_model import ENDED, PAUSED, RUNNING, LoadCommand, Workload, shared_out
from meterd.rules.model import Policy
from meterd.rules.outcomes import OK
from tests.world import Result, World

BEGIN_MS = 1_700_000_000_000
JUMPS_MS = (0, 1, 40, 900, 60_000)

mixes = st.one_of(
    st.sampled_from(list(MIXES.values())),
    st.dictionaries(st.sampled_from(ACTS), st.integers(1, 9), min_size=1),
)


class Play:
    """Several greenlets with one workload, and the rules in place of the daemon."""

    def __init__(self, rooms: list[int], mix: dict[str, int], seed: int) -> None:
        self.world = World(Policy())
        self.workload = Workload("t", rooms, mix, seed)
        self.draw = random.Random(seed)
        self.now_ms = BEGIN_MS
        self.sent = 0
        self.results: list[Result] = []
        self.unanswered: list[tuple[LoadCommand, str]] = []

    def send(self, command: LoadCommand) -> None:
        """It takes effect now; the reply comes later."""
        self.sent += 1
        self.now_ms += 1
        fields: dict[str, Any] = {"type": command.type, "id": f"k{self.sent}", **command.fields}
        flat = [str(part).encode() for pair in fields.items() for part in pair]
        result = self.world.feed(f"{self.now_ms}-0", flat)
        assert result.outcome == OK, (command, result)
        assert not [e for e in result.events if "credits" in str(e)]
        self.results.append(result)

    def reply(self, command: LoadCommand) -> None:
        self.workload.replied(command, self.status(command))

    def status(self, command: LoadCommand) -> str:
        chat = self.world.chat(command.chat.chat_id) if command.chat else None
        return chat.status if chat else ""

    def open_all(self) -> None:
        for steps in self.workload.openings(self.now_ms):
            for step in steps:
                self.send(step)
                self.reply(step)

    def work(self, rounds: int, workers: int = 4) -> None:
        """Each worker goes through its steps: chosen, sent, answered, at moments of its own."""
        hands: list[list[LoadCommand]] = [[] for _ in range(workers)]
        waiting: list[LoadCommand | None] = [None] * workers
        for _ in range(rounds):
            self.now_ms += self.draw.choice(JUMPS_MS)
            n = self.draw.randrange(workers)
            self._go_on(hands, waiting, n)
        for n in range(workers):
            while hands[n] or waiting[n]:
                self._go_on(hands, waiting, n)

    def _go_on(
        self, hands: list[list[LoadCommand]], waiting: list[LoadCommand | None], n: int
    ) -> None:
        command = waiting[n]
        if command is not None:
            self.reply(command)
            waiting[n] = None
        elif hands[n]:
            waiting[n] = hands[n].pop(0)
            self.send(waiting[n])  # type: ignore[arg-type]
        else:
            hands[n] = self.workload.next(self.now_ms)

    def open_in_the_world(self) -> set[str]:
        return {c for a in self.world.accounts.values() for c in a.chats}


@given(
    rooms=st.lists(st.integers(1, 5), min_size=1, max_size=4), mix=mixes, seed=st.integers(0, 999)
)
def test_no_command_is_refused_and_no_account_runs_dry(
    rooms: list[int], mix: dict[str, int], seed: int
) -> None:
    """For hours, with several commands in flight, whatever the mix."""
    play = Play(rooms, mix, seed)
    play.open_all()
    play.work(rounds=400)
    for account in play.workload.accounts:
        assert len(account.chats) <= account.room
        for chat in account.chats:
            known = play.world.chat(chat.chat_id)
            assert known is not None
            assert (chat.status, chat.is_busy) == (known.status, False)
            assert chat.status in (RUNNING, PAUSED)
    assert {c.chat_id for a in play.workload.accounts for c in a.chats} == play.open_in_the_world()
    assert play.workload.open_chats == len(play.open_in_the_world())


@given(mix=mixes, seed=st.integers(0, 999))
def test_what_was_opened_is_ended(mix: dict[str, int], seed: int) -> None:
    play = Play([3, 2], mix, seed)
    play.open_all()
    play.work(rounds=50)
    for command in play.workload.endings():
        play.send(command)
        play.reply(command)
    assert play.open_in_the_world() == set()
    assert play.workload.open_chats == 0


@given(seed=st.integers(0, 999))
def test_a_chat_that_ended_by_itself_is_forgotten_and_replaced(seed: int) -> None:
    play = Play([4], MIXES["churn"], seed)
    play.open_all()
    gone = play.workload.accounts[0].chats[0]
    gone.is_busy = True
    play.send(LoadCommand("end", {"chat_id": gone.chat_id}, play.workload.accounts[0], gone))
    play.workload.dropped(
        LoadCommand("heartbeat", {"chat_id": gone.chat_id}, play.workload.accounts[0], gone),
        is_gone=True,
    )
    assert play.workload.open_chats == 3
    play.work(rounds=100)
    assert play.workload.open_chats == 4


def test_a_command_whose_fate_is_unknown_leaves_its_chat_alone_until_the_end() -> None:
    play = Play([1], {"heartbeat": 1}, 1)
    play.open_all()
    (command,) = play.workload.next(play.now_ms)
    play.workload.lost(command)
    assert [play.workload.next(play.now_ms) for _ in range(20)] == [[]] * 20
    assert [c.fields["chat_id"] for c in play.workload.endings()] == [command.fields["chat_id"]]


def test_a_switch_is_between_chats_with_one_advisor() -> None:
    play = Play([6], {"switch": 1}, 3)
    play.open_all()
    pairs = []
    for _ in range(60):
        steps = play.workload.next(play.now_ms)
        if [s.type for s in steps] == ["pause", "resume"]:
            pairs.append([s.chat.advisor_id for s in steps if s.chat])
        for step in steps:
            play.send(step)
            play.reply(step)
    assert pairs
    assert all(left == entered for left, entered in pairs)


def test_a_start_that_was_not_sent_leaves_no_chat() -> None:
    play = Play([1], {"replace": 1}, 1)
    play.open_all()
    end, start = play.workload.next(play.now_ms)
    play.send(end)
    play.reply(end)
    play.workload.dropped(start)
    assert play.workload.accounts[0].chats == []
    assert play.status(end) == ENDED


@given(st.integers(1, 500), st.integers(1, 50))
def test_chats_are_shared_out_evenly(chats: int, accounts: int) -> None:
    rooms = shared_out(chats, accounts)
    assert sum(rooms) == chats
    assert max(rooms) - min(rooms) <= 1
