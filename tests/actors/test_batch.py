"""Batches that waited for an actor go to it together, and what kills actors goes apart."""

from hypothesis import given
from hypothesis import strategies as st

from actors.chat.account_batch import batches_by_account
from actors.messages import BatchResult, Task
from actors.supervisor.batch import LOSSES_MAX, DispatchBatch
from meterd.rules.commands import Command, entry_key


def _done(_actor: str, _batch: DispatchBatch, _handled: BatchResult) -> None:
    raise AssertionError("nothing is sent here")


def _task(number: int) -> Task:
    entry = f"{number}-0"
    return Task("u", Command(entry, number, "heartbeat", "", "u", "c", "", {}, {}))


def _batch(first: int, count: int) -> DispatchBatch:
    return DispatchBatch([_task(n) for n in range(first, first + count)], _done)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 60))
def test_two_go_together_in_order_as_far_as_there_is_room(one: int, two: int, most: int) -> None:
    first = _batch(1, one)._replace(queued_ms=10 * one)
    second = _batch(1 + one, two)._replace(queued_ms=10 * two)
    both = first.with_next(second, most)
    if one + two > most:
        assert both is None
    else:
        assert both is not None
        assert both.tasks == first.tasks + second.tasks
        assert (both.losses, both.is_suspect) == (0, False)
        assert both.queued_ms == 10 * (one + two), "no waiting is forgotten"


@given(st.integers(2, 20), st.integers(1, LOSSES_MAX))
def test_what_processes_were_lost_by_goes_with_nothing_else(count: int, losses: int) -> None:
    """Else the innocent would be counted among the suspects."""
    suspect, innocent = _batch(1, count), _batch(100, 1)
    parts = [suspect]
    for _ in range(losses):
        parts = parts[0].lost_again("it died") + parts[1:]
    assert parts[0].with_next(innocent, 1_000) is None
    assert innocent.with_next(parts[0], 1_000) is None


def test_batches_that_are_answered_elsewhere_stay_apart() -> None:
    other = DispatchBatch([_task(9)], lambda *_: None)
    assert _batch(1, 1).with_next(other, 1_000) is None


@given(st.data())
def test_an_accounts_tasks_are_in_stream_order_each_once_whatever_comes_twice(
    data: st.DataObject,
) -> None:
    """What is read again comes behind what was on its way; what has no account comes once, too."""
    places = st.tuples(st.integers(0, 3), st.integers(0, 120))
    found = data.draw(st.lists(st.tuples(st.sampled_from(["", "u", "v"]), places), max_size=40))
    users = {place: user for user, place in found}  # an entry is of one account
    tasks = [_at(users[place], *place) for _, place in found]
    batches = batches_by_account(tasks)
    for user in ("u", "v"):
        mine = [batch for batch in batches if batch.user == user]
        expected = sorted(place for place in users if users[place] == user)
        assert [[_place(task) for task in batch.tasks] for batch in mine] == (
            [expected] if expected else []
        )
    nobodys = [_place(task) for batch in batches if not batch.user for task in batch.tasks]
    assert sorted(nobodys) == sorted(place for place in users if not users[place])


def _at(user: str, ms: int, number: int) -> Task:
    return Task(user, Command(f"{ms}-{number}", ms, "heartbeat", "", user, "c", "", {}, {}))


def _place(task: Task) -> tuple[int, int]:
    return entry_key(task.entry)
