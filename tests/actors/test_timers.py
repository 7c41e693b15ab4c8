"""One heap of due times: the latest arming of an account counts, in order, none is lost."""

from hypothesis import given
from hypothesis import strategies as st

from actors.chat.timers import Timers

USERS = st.sampled_from([f"u{n}" for n in range(6)])
ARM = st.tuples(st.just("arm"), USERS, st.integers(0, 50))
DISARM = st.tuples(st.just("disarm"), USERS, st.just(0))
TAKE = st.tuples(st.just("take"), st.just(""), st.integers(0, 60))


@given(steps=st.lists(st.one_of(ARM, DISARM, TAKE), max_size=300))
def test_it_hands_out_what_a_plain_table_would(steps: list[tuple[str, str, int]]) -> None:
    timers = Timers()
    table: dict[str, int] = {}
    for act, user, number in steps:
        if act == "arm":
            timers.arm(user, number, "e")
            table[user] = number
        elif act == "disarm":
            timers.disarm(user)
            table.pop(user, None)
        else:
            taken = timers.take_due(number, most=100)
            assert [due for _, due, _ in taken] == sorted(due for _, due, _ in taken)
            assert {u: due for u, due, _ in taken} == {u: d for u, d in table.items() if d < number}
            table = {u: d for u, d in table.items() if d >= number}
        assert timers.next_at() == min(table.values(), default=None)
        assert len(timers) == len(table)


def test_the_heap_is_bounded_by_what_is_live() -> None:
    """An account that is armed a million times leaves no million entries."""
    timers = Timers()
    for n in range(10_000):
        timers.arm("u", n, "e")
    assert len(timers._heap) <= 2 * len(timers) + 64
