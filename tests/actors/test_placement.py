"""Where chats live: one each as far as there are actors, then sharing, or no room."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.supervisor.placement import SKEW_MAX, Placement


def _opened(placement: Placement, chat: str, user: str) -> str | None:
    """Place a chat as the supervisor does; the actor, if there was room."""
    if placement.may_grow() and not placement.warm_actors():
        placement.add_actor(f"a{len(placement.actors())}")
    actor = placement.choose(user, placement.actors())
    if actor is not None:
        placement.place(chat, user, actor)
    return actor


def test_every_chat_has_its_own_actor_until_there_are_no_more() -> None:
    placement = Placement(actors_max=12, chats_per_actor=100)
    actors = {_opened(placement, f"c{n}", "one-user") for n in range(12)}
    assert len(actors) == 12
    assert _opened(placement, "c12", "other") in actors


def test_in_the_strict_form_there_is_no_room_beyond_the_last_actor() -> None:
    placement = Placement(actors_max=3, chats_per_actor=1)
    assert [_opened(placement, f"c{n}", f"u{n}") is None for n in range(4)] == [False] * 3 + [True]
    placement.release("c1")
    assert _opened(placement, "c4", "u4") is not None


def test_an_ended_chats_actor_is_taken_again_before_others_are_shared() -> None:
    placement = Placement(actors_max=3, chats_per_actor=100)
    for n in range(3):
        _opened(placement, f"c{n}", f"u{n}")
    freed = placement.actor_of("c1")
    placement.release("c1")
    assert _opened(placement, "c3", "u0") == freed


def test_an_account_stays_together_where_actors_are_shared() -> None:
    placement = Placement(actors_max=2, chats_per_actor=1_000)
    for n in range(2):
        _opened(placement, f"c{n}", f"u{n}")
    actors = {_opened(placement, f"c0.{n}", "u0") for n in range(SKEW_MAX + 1)}
    assert actors == {placement.actor_of("c0")}
    assert _opened(placement, "c0.more", "u0") == placement.actor_of("c1"), "not at any price"


def test_a_chat_that_shares_gets_an_actor_that_becomes_ready_if_its_account_is_quiet() -> None:
    placement = Placement(actors_max=3, chats_per_actor=10)
    placement.add_actor("a")
    placement.place("busy", "u1", "a")
    placement.place("calm", "u2", "a")
    placement.place("new", "u3", "a", reserved=True)
    placement.add_actor("b")
    assert placement.give_own("b", lambda user: user != "u1") == ("calm", "u2", "a", "b")
    assert placement.actor_of("calm") == "b"
    placement.add_actor("c")
    assert placement.give_own("c", lambda user: user != "u1") is None, "new is not yet open"


def test_a_reservation_counts_until_it_is_dropped_and_outlives_reports_without_it() -> None:
    placement = Placement(actors_max=1, chats_per_actor=1)
    placement.add_actor("a")
    placement.place("c", "u", "a", reserved=True)
    placement.sync("u", [])
    assert placement.actor_of("c") == "a", "the report may be older than the start"
    placement.drop_reservation("c")
    assert placement.actor_of("c") is None
    placement.place("c", "u", "a", reserved=True)
    placement.sync("u", ["c"])
    placement.drop_reservation("c")
    assert placement.actor_of("c") == "a", "it did open"


@settings(max_examples=60)
@given(
    actors_max=st.integers(1, 5),
    per_actor=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 4), st.booleans()), max_size=80),
)
def test_books_agree_whatever_opens_and_ends(
    actors_max: int, per_actor: int, steps: list[tuple[int, int, bool]]
) -> None:
    """No actor has more than its limit, every chat is on one actor, all counts agree."""
    placement = Placement(actors_max, per_actor)
    model: dict[str, str] = {}
    for chat_number, user_number, opens in steps:
        chat, user = f"c{chat_number}", f"u{user_number}"
        if chat in model and not opens:
            placement.release(chat)
            del model[chat]
        elif chat not in model and opens:
            full = len(model) == actors_max * per_actor
            actor = _opened(placement, chat, user)
            assert (actor is None) == full
            if actor is not None:
                model[chat] = actor
    assert placement.open_chats() == len(model)
    assert {c: placement.actor_of(c) for c in model} == model
    homes = set(model.values())
    assert placement.sharing() == len(model) - len(homes)
    assert placement.warm_actors() == len(placement.actors()) - len(homes)
    for actor in placement.actors():
        assert set(placement.chats_on(actor)) == {c for c, a in model.items() if a == actor}
        assert len(placement.chats_on(actor)) <= per_actor


@settings(max_examples=100)
@given(
    users=st.lists(st.integers(0, 30), max_size=400),
    busy=st.sets(st.integers(0, 30), max_size=3),
    actors=st.integers(2, 5),
)
def test_chats_spread_evenly_over_actors_that_became_ready_late(
    users: list[int], busy: set[int], actors: int
) -> None:
    """Nothing is lost, accounts stay together, busy ones stay where they are, and it ends."""
    placement = Placement(actors, 1_000)
    placement.add_actor("a0")
    for n, user in enumerate(users):
        placement.place(f"c{n}", f"u{user}", "a0")
    ready = {f"a{n}" for n in range(actors)}
    for actor in sorted(ready - {"a0"}):
        placement.add_actor(actor)
    before = [placement.chats_on(actor) for actor in sorted(ready)]
    while moves := placement.even_out(ready, lambda user: int(user[1:]) not in busy):
        assert all(int(move.user[1:]) not in busy for move in moves)
        assert all(placement.actor_of(move.chat) == move.after != move.before for move in moves)
    everywhere = {k: v for a in ready for k, v in placement.chats_on(a).items()}
    assert everywhere == before[0]
    homes = {u: {placement.actor_of(c) for c, v in everywhere.items() if v == u}
             for u in everywhere.values()}  # fmt: skip
    assert all(len(found) == 1 for found in homes.values())
    loads = sorted(len(placement.chats_on(actor)) for actor in ready)
    largest = max((users.count(user) for user in set(users)), default=0)
    stuck = sum(users.count(user) for user in busy)
    assert loads[-1] - loads[0] <= max(2 * SKEW_MAX, loads[-1] // 4) + 2 * largest + stuck


def test_actors_that_are_about_even_are_left_alone() -> None:
    placement = Placement(2, 1_000)
    for actor in ("a", "b"):
        placement.add_actor(actor)
    for n in range(100):
        placement.place(f"c{n}", f"u{n}", "a" if n < 60 else "b")
    assert placement.even_out(["a", "b"], lambda _user: True) == []
