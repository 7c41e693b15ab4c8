"""Free time used in the old system, as the scopes of an account have it."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.legacy.free_time import scopes_of
from meterd.rules.free_time import scope_key
from meterd.rules.model import FREE_OF_ADVISOR, FREE_OF_CHAT, FREE_OF_USER


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 60_000)))
def test_every_scope_has_what_was_used_in_it(by_advisor: dict[str, int]) -> None:
    """With each advisor, or the greatest; a chat's own is nobody else's."""
    assert scopes_of(FREE_OF_CHAT, by_advisor) == {}
    assert scopes_of(FREE_OF_ADVISOR, by_advisor) == {
        scope_key(FREE_OF_ADVISOR, advisor): ms for advisor, ms in by_advisor.items()
    }
    of_user = {scope_key(FREE_OF_USER, ""): max(by_advisor.values())} if by_advisor else {}
    assert scopes_of(FREE_OF_USER, by_advisor) == of_user
