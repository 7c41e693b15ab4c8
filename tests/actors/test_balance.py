"""Partitions are shared out evenly, by every node alike, and move one at a time."""

from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from actors.supervisor.balance import (
    BETWEEN_MS,
    Balance,
    Turn,
    next_handover,
    preferred_nodes,
    turn_of,
)

SETTLE_MS = 30_000
names = st.text("abcdef0123456789", min_size=1, max_size=8)
node_sets = st.sets(names, min_size=1, max_size=100)
counts = st.integers(1, 1_000)


@given(counts, node_sets)
def test_each_node_gets_its_share(partitions: int, nodes: set[str]) -> None:
    """Of 1 000 partitions and 100 nodes too: as many as any other, or one more."""
    loads = Counter(preferred_nodes(partitions, nodes))
    assert sum(loads.values()) == partitions
    share = partitions // len(nodes)
    assert all(share <= loads[node] <= share + 1 for node in nodes)


@given(st.integers(1, 256), st.lists(names, min_size=1, max_size=20, unique=True), st.randoms())
def test_all_nodes_come_to_the_same_answer(
    partitions: int, nodes: list[str], random: st.DataObject
) -> None:
    """In whatever order they read the list."""
    expected = preferred_nodes(partitions, nodes)
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert preferred_nodes(partitions, shuffled) == expected


@given(counts, st.sets(names, min_size=2, max_size=20))
def test_a_node_that_goes_moves_little_else_than_its_own(partitions: int, nodes: set[str]) -> None:
    """Besides its own partitions, at most as many as it had, and one for each node, change."""
    gone = min(nodes)
    before, after = preferred_nodes(partitions, nodes), preferred_nodes(partitions, nodes - {gone})
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    own = before.count(gone)
    assert own <= moved <= 2 * own + len(nodes)
    assert gone not in after


def test_nobody_leads_where_nobody_is_known() -> None:
    assert preferred_nodes(4, ()) == []
    assert turn_of([], "a", 3) is Turn.ANY


@given(st.integers(1, 64), node_sets)
def test_exactly_one_node_bids_first(partitions: int, nodes: set[str]) -> None:
    preferred = preferred_nodes(partitions, nodes)
    for number in range(partitions):
        turns = Counter(turn_of(preferred, node, number) for node in nodes)
        assert turns[Turn.FIRST] == 1
        assert turns[Turn.LAST] == len(nodes) - 1


@given(
    st.integers(1, 64), st.sets(names, min_size=1, max_size=8), st.data(),
    st.integers(0, 2 * SETTLE_MS), st.none() | st.integers(0, 2 * BETWEEN_MS),
)  # fmt: skip
def test_only_what_another_should_lead_moves_and_not_soon_after_anything(
    partitions: int, nodes: set[str], data: st.DataObject, unchanged_ms: int, since_ms: int | None
) -> None:
    own = data.draw(st.sampled_from(sorted(nodes)))
    held = data.draw(st.sets(st.integers(0, partitions - 1)))
    preferred = preferred_nodes(partitions, nodes)
    balance = Balance(own, preferred, held, unchanged_ms, since_ms)
    number = next_handover(balance, SETTLE_MS)
    misplaced = {n for n in held if preferred[n] != own}
    is_calm = unchanged_ms >= SETTLE_MS and (since_ms is None or since_ms >= BETWEEN_MS)
    if is_calm and misplaced:
        assert number == min(misplaced)
    else:
        assert number is None


def _steps(partitions: int, nodes: list[str], leaders: list[str]) -> Iterator[list[str]]:
    """Leaders after each round in which every node hands over what is misplaced, one each."""
    preferred = preferred_nodes(partitions, nodes)
    while True:
        moved = False
        for node in nodes:
            held = {n for n, leader in enumerate(leaders) if leader == node}
            number = next_handover(Balance(node, preferred, held, SETTLE_MS, None), SETTLE_MS)
            if number is not None:
                leaders[number], moved = preferred[number], True
        yield leaders
        if not moved:
            return


@given(counts, st.lists(names, min_size=1, max_size=100, unique=True), st.data())
def test_from_any_start_all_comes_to_rest_where_it_should_be(
    partitions: int, nodes: list[str], data: st.DataObject
) -> None:
    """Nothing moves twice: after as many rounds as partitions at most, and then no more."""
    first = data.draw(st.sampled_from(nodes))
    rounds = list(_steps(partitions, nodes, [first] * partitions))
    assert len(rounds) <= partitions + 1
    assert rounds[-1] == preferred_nodes(partitions, nodes)
