"""What is planned leads to what is wanted, and from there to nothing more."""

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.legacy.plan import MigrationPlan, ReferenceData, plan_pair
from daemon.legacy.rules.rows import Division, OldChat, Pair
from daemon.legacy.store.imported import ImportedState, QuarantinedRow, StoredRecord
from daemon.legacy.store.reader import OldPair
from daemon.legacy.target_records import TargetRecords, target_records_of
from tests.legacy.strategies import divisions, pairs

STEPS = st.lists(
    st.tuples(pairs(), divisions(), st.sets(st.integers(0, 9))),
    min_size=1, max_size=4,
)  # fmt: skip


class Store:
    """meterd's side of one pair, in memory."""

    def __init__(self) -> None:
        self.chats: dict[str, StoredRecord | None] = {}
        self.asides: dict[tuple[str, str], QuarantinedRow] = {}

    def plan(self, wanted: TargetRecords) -> MigrationPlan:
        plan = MigrationPlan.empty()
        kept = ImportedState({wanted.pair: self.chats}, {wanted.pair: self.asides}, {})
        plan_pair(wanted, kept, ReferenceData({}, {}, set()), plan)
        return plan

    def write(self, wanted: TargetRecords, plan: MigrationPlan) -> None:
        for chat_id in plan.changes.deleted:
            have = self.chats.pop(chat_id)
            assert have is not None
            assert not have.is_used
        for row in plan.changes.imported:
            assert row.chat_id not in self.chats
            times = (row.started_at_ms, row.ended_at_ms, row.active_ms, row.cost_micro)
            made: Any = (*row[:3], *times, row.seq, wanted.pair)
            self.chats[row.chat_id] = StoredRecord._make(made)
        for aside in plan.changes.quarantined_gone:
            del self.asides[aside.name]
        for aside in plan.changes.quarantined:
            assert aside.name not in self.asides
            self.asides[aside.name] = aside

    def use(self, which: set[int]) -> None:
        """Something happens to some of the chats: a refund."""
        for number, chat_id in zip(count(), sorted(self.chats), strict=False):
            have = self.chats[chat_id]
            if number in which and have is not None:
                self.chats[chat_id] = have._replace(seq=have.seq + 1)

    def amounts(self) -> tuple[int, int]:
        haves = [have for have in self.chats.values() if have is not None]
        asides = self.asides.values()
        return (
            sum(h.active_ms for h in haves) + sum(a.total_ms for a in asides),
            sum(h.cost_micro for h in haves) + sum(a.cost_micro for a in asides),
        )


@given(STEPS)
def test_a_plan_leads_to_what_is_wanted_and_then_to_nothing(
    steps: list[tuple[Pair, Division, set[int]]],
) -> None:
    """However the old rows change and whatever is used meanwhile: all of it is somewhere, once."""
    store = Store()
    for changed, division, used in steps:
        pair = _of_one_pair(changed)
        wanted = target_records_of(OldPair(pair, []), division, store.asides)
        store.write(wanted, store.plan(wanted))
        again = target_records_of(OldPair(pair, []), division, store.asides)
        assert not store.plan(again).changes
        if pair.records:
            assert store.amounts() == _due(pair, wanted)
        assert wanted.rows.keys() <= store.chats.keys()
        store.use(used)


def test_what_is_set_aside_of_a_pair_without_records_is_not_added_up_by_each_run() -> None:
    """Its chat was used, then got a duration: what it lacks is set aside once, however often."""
    store, by_duration = Store(), Division(policy="chat_duration")
    begun = OldChat("c1", "u", "a", created_at=0, ended_at=None, duration_ms=None)
    for chat, division in (
        (begun, Division(policy="latest")),
        (begun._replace(duration_ms=1), by_duration),
    ):
        pair = OldPair(Pair("u", "a", [], [chat], "chats"), [])
        for _ in range(2):
            wanted = target_records_of(pair, division, store.asides)
            store.write(wanted, store.plan(wanted))
        assert not store.plan(target_records_of(pair, division, store.asides)).changes
        store.use(set(range(10)))
    assert [row.total_ms for row in store.asides.values()] == [1]


def _of_one_pair(pair: Pair) -> Pair:
    records = [record._replace(user_id="u", advisor_id="a") for record in pair.records]
    chats = [chat._replace(user_id="u", advisor_id="a") for chat in pair.chats]
    return Pair("u", "a", records, chats, pair.trusted)


def _due(pair: Pair, wanted: TargetRecords) -> tuple[int, int]:
    running, surplus_ms = wanted.split.running, wanted.split.surplus_ms
    return (
        sum(r.total_ms or 0 for r in pair.records)
        + surplus_ms
        - sum(r.carried_ms for r in running),
        sum(r.cost_micro or 0 for r in pair.records) - sum(r.carried_cost_micro for r in running),
    )
