"""What is sent for an adopted chat, whatever the old rows hold."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.legacy.rules.adoption import (
    NO_TARIFF,
    OldTariff,
    adoption_of,
    affordable,
    again,
    commands_of,
    ending_of,
)
from daemon.legacy.rules.rows import AMOUNT_MAX, DURATION_MS_MAX, Running
from meterd._fields import flat_fields
from meterd.rules.commands import Command, parse_entry
from meterd.rules.model import PAUSED, RUNNING
from tests.legacy.cutover.old import T

_RUNNING = st.builds(
    Running,
    st.text("ab", min_size=1, max_size=128),
    st.just("u"),
    st.just("v"),
    st.sampled_from([RUNNING, PAUSED]),
    st.integers(0, 2 * T),
    st.none() | st.integers(0, 2 * T),
    st.integers(0, DURATION_MS_MAX),
    st.integers(0, AMOUNT_MAX),
    free_ms=st.none() | st.integers(0, DURATION_MS_MAX),
    rate_micro=st.none() | st.integers(0, AMOUNT_MAX),
)


_TARIFFS = st.builds(
    OldTariff,
    st.integers(0, AMOUNT_MAX),
    st.sampled_from([NO_TARIFF, {
        "free_ms": 60_000, "free_scope": "advisor", "increment_ms": 15_000,
        "increment_due": "end", "abandon_ms": 30_000,
    }]),
)  # fmt: skip


@given(
    st.lists(_RUNNING, unique_by=lambda one: one.chat_id, max_size=4),
    st.integers(0, 10**15),
    _TARIFFS,
)
def test_what_is_sent_is_valid_and_paid_for(
    running: list[Running], balance: int, tariff: OldTariff
) -> None:
    """Whatever the old rows hold: commands that can be commands, the same each time, and no more
    carried than was paid there or can be paid now."""
    adoptions = affordable([adoption_of(one, T, tariff) for one in running], balance)
    assert sum(one.unflushed_micro for one in adoptions) <= balance
    for one, before in zip(adoptions, sorted(running, key=lambda one: one.chat_id), strict=True):
        assert one.carried_micro == before.carried_cost_micro + one.unflushed_micro
        assert one.started_at + one.carried_ms <= T
        ids = set()
        once = (*commands_of(one), *ending_of(one, "credits_exhausted"))
        for fields in (again(fields, attempt) for fields in once for attempt in (1, 2, 1_000)):
            command = parse_entry(f"{T}-0", flat_fields(fields))
            assert isinstance(command, Command), command.reason
            ids.add(command.id)
        assert len(ids) == 3 * len(once)
