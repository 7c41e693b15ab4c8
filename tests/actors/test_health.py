"""What the status says of a state and of a recovery."""

from actors.supervisor.health import ConditionSince


def test_a_state_is_told_with_the_moment_at_which_it_began() -> None:
    """Whatever its reason has become since; when it comes again it begins again."""
    since = ConditionSince()
    told = [
        since.told(*at) for at in (("starting", 5), ("starting", 6), ("ready", 7), ("ready", 9))
    ]
    assert told == [5, 5, 7, 7]
    assert since.told("starting", 11) == 11
