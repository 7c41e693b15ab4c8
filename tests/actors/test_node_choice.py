"""Chat actors that are spread go where there are fewest, and not where one was lost lately."""

from actors.node_choice import LOST_S, NodeChoice

NODES = ["a", "b", "own"]


def test_actors_are_spread_evenly_and_the_own_node_comes_first() -> None:
    """Three nodes get one each before any of them gets a second one."""
    choice, chosen = NodeChoice("own"), []
    for _ in range(6):
        node = choice.choose(NODES)
        choice.started(node)
        chosen.append(node)
    assert chosen[0] == "own"
    assert sorted(chosen[:3]) == sorted(chosen[3:]) == sorted(NODES)


def test_nothing_starts_on_a_node_that_was_lost_lately() -> None:
    """Ray calls it alive for another minute; after 30 s it may be tried again."""
    now_s = 100.0
    choice = NodeChoice("own", lambda: now_s)
    choice.started("own")
    choice.started("a")
    choice.ended("a")
    assert choice.choose(["a", "own"]) == "own"
    now_s += LOST_S - 0.1
    assert choice.choose(["a", "own"]) == "own"
    now_s += 0.1
    assert choice.choose(["a", "own"]) == "a"


def test_the_own_node_is_always_there() -> None:
    """Whoever chooses runs on it: an actor of it that died says nothing of the node."""
    choice = NodeChoice("own")
    choice.started("own")
    choice.ended("own")
    assert choice.choose([]) == "own"
