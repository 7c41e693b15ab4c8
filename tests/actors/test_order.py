"""Stream order across actors: what shares an account, a chat or an id goes one after the other."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from actors.supervisor.in_flight_keys import BatchKey, InFlightKeys

Step = tuple[frozenset[str], BatchKey]

LANES = st.tuples(st.sampled_from(["", "u1", "u2"]), st.sampled_from(["a1", "a2"]))
KEYS = st.frozensets(st.sampled_from(["cA", "cB", "iX", "iY"]), min_size=1)


@given(steps=st.lists(st.tuples(KEYS, LANES, st.booleans()), max_size=60))
def test_only_followers_in_the_same_account_and_actor_may_be_under_way_together(
    steps: list[tuple[frozenset[str], BatchKey, bool]],
) -> None:
    """Against a plain list of what is under way."""
    order, under_way = InFlightKeys(), deque[Step]()
    for keys, lane, finishes in steps:
        if finishes and under_way:
            order.leave(under_way.popleft()[0])
        may = all(not (keys & other) or (at == lane and lane[0]) for other, at in under_way)
        assert order.free(keys, lane) == may
        if may:
            order.enter(keys, lane)
            under_way.append((keys, lane))
    while under_way:
        order.leave(under_way.popleft()[0])
    assert len(order) == 0
