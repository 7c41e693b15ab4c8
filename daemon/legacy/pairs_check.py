"""Each pair's books: what the old rows come to, and where that is now."""

from collections.abc import Iterable, Iterator, Mapping

from daemon.legacy.diff import DiffOptions
from daemon.legacy.difference import RecordDifference
from daemon.legacy.store.adopted import Adopted
from daemon.legacy.store.imported import QuarantinedRow, StoredRemainder
from daemon.legacy.store.reader import OldPair, PairKey
from daemon.legacy.target_records import Counts, TargetRecords

_Amounts = tuple[int, int]


class Pairs:
    """Compares the pairs of one look."""

    def __init__(
        self,
        look: DiffOptions,
        olds: Mapping[PairKey, OldPair],
        adopted: Mapping[str, Adopted],
        counts: Counts,
    ) -> None:
        """Take in both sides, and what adopted chats carried along."""
        self._look = look
        self._olds = olds
        self._adopted = adopted
        self._counts = counts
        self.leftovers_gone: list[StoredRemainder] = []
        """Of records that the old system has no more; known once all differences were asked for."""

    def differences(self) -> Iterator[RecordDifference]:
        """Everything that differs."""
        for target in self._look.targets:
            yield from self._pair(target, self._olds.get(target.pair))

    def _pair(self, target: TargetRecords, old: OldPair | None) -> Iterator[RecordDifference]:
        before = _sum([_old_amounts(old), (target.split.surplus_ms, 0)])
        elsewhere = self._elsewhere(target)
        after = _sum([self._imported(target.pair), self._aside(target.pair), elsewhere])
        self._count(target, old, elsewhere)
        if target.is_gone:
            self._count_gone(target.pair, after)
        elif before != after:
            yield RecordDifference(
                kind="sum",
                pair=target.pair,
                key="",
                expected=_amounts_text(before),
                found=_amounts_text(after),
            )
        if not target.is_gone:
            yield from self._leftovers(target)
        yield from self._too_little(target)
        yield from self._not_adopted(target)
        yield from self._missing(target, old)

    def _count(self, target: TargetRecords, old: OldPair | None, elsewhere: _Amounts) -> None:
        if old is not None:
            records, chats = len(old.pair.records), len(old.pair.chats)
            self._counts.update(pairs=1, records=records, chats=chats)
        running = sum(1 for i in self._there(target) if i not in self._adopted)
        self._counts.update(
            brought=len(self._look.stored.chats.get(target.pair, {})),
            aside=len(self._asides(target.pair)),
            adopted=sum(1 for i in self._not_imported(target) if i in self._adopted),
            running=running,
            elsewhere_ms=elsewhere[0],
            elsewhere_micro=elsewhere[1],
            surplus_ms=target.split.surplus_ms,
        )

    def _count_gone(self, pair: PairKey, after: _Amounts) -> None:
        """What was imported of old records that are not there any more."""
        self._counts.update(gone_ms=after[0], gone_micro=after[1])
        self.leftovers_gone += self._look.stored.remainders.get(pair, {}).values()

    def _imported(self, pair: PairKey) -> _Amounts:
        haves = self._look.stored.chats.get(pair, {}).values()
        return _sum((have.active_ms, have.cost_micro) for have in haves if have is not None)

    def _aside(self, pair: PairKey) -> _Amounts:
        return _sum((aside.total_ms, aside.cost_micro) for aside in self._asides(pair).values())

    def _elsewhere(self, target: TargetRecords) -> _Amounts:
        """Shares of chats that run in the old system still, or were adopted."""
        return _sum(self._not_imported(target).values())

    def _not_imported(self, target: TargetRecords) -> dict[str, _Amounts]:
        return {**self._there(target), **self._ended_here(target)}

    @staticmethod
    def _there(target: TargetRecords) -> dict[str, _Amounts]:
        return {
            one.chat_id: (one.carried_ms, one.carried_cost_micro) for one in target.split.running
        }

    def _ended_here(self, target: TargetRecords) -> dict[str, _Amounts]:
        """Chats that were adopted and have ended in the old system too, by now."""
        return {
            chat_id: (row.active_ms, row.cost_micro)
            for chat_id, row in target.rows.items()
            if chat_id in self._adopted
            and chat_id not in self._look.stored.chats.get(target.pair, ())
        }

    def _leftovers(self, target: TargetRecords) -> Iterator[RecordDifference]:
        stored: Mapping[str, StoredRemainder] = self._look.stored.remainders.get(target.pair, {})
        for key in stored.keys() | target.remainders.keys():
            before, after = target.remainders.get(key), stored.get(key)
            if before != after:
                yield RecordDifference(
                    kind="fraction",
                    pair=target.pair,
                    key=key,
                    expected=_fraction(before),
                    found=_fraction(after),
                )

    def _too_little(self, target: TargetRecords) -> Iterator[RecordDifference]:
        """Who was adopted carried its share at least: time went on until then.

        Nor is its share less than it was then: other chats would have the rest once more.
        """
        for chat_id, share in self._not_imported(target).items():
            one = self._adopted.get(chat_id)
            if one is None:
                continue
            carried = (one.carried_ms, one.carried_micro)
            then = (one.share_ms or 0, one.share_micro or 0)
            least = [max(share[0], then[0]), max(share[1], then[1])]
            is_less = not target.is_gone and (share[0] < then[0] or share[1] < then[1])
            if is_less or carried[0] < least[0] or carried[1] < least[1]:
                yield RecordDifference(
                    kind="adopted",
                    pair=target.pair,
                    key=chat_id,
                    expected=_amounts_text(share),
                    found=_amounts_text(carried),
                )

    def _not_adopted(self, target: TargetRecords) -> Iterator[RecordDifference]:
        """Another has begun here under the name of one that runs there: its share is nowhere."""
        known = self._look.stored.chats.get(target.pair, {})
        for chat_id, share in self._there(target).items():
            is_here = chat_id in self._look.books.named
            if is_here and chat_id not in known and chat_id not in self._adopted:
                found = "a record that does not carry it"
                yield RecordDifference(
                    kind="not_adopted",
                    pair=target.pair,
                    key=chat_id,
                    expected=_amounts_text(share),
                    found=found,
                )

    def _missing(self, target: TargetRecords, old: OldPair | None) -> Iterator[RecordDifference]:
        stored = self._look.stored.chats.get(target.pair, {})
        answered = self._answered(target) | self._named(target.pair, old)
        for chat_id in _chats_of(old) - answered:
            yield RecordDifference(
                kind="chat",
                pair=target.pair,
                key=chat_id,
                expected="a record or a reason",
                found="neither",
            )
        for chat_id, have in stored.items():
            if have is None:
                yield RecordDifference(
                    kind="record",
                    pair=target.pair,
                    key=chat_id,
                    expected="its record",
                    found="none",
                )

    def _answered(self, target: TargetRecords) -> set[str]:
        """Chats of which something is known here, or that run in the old system."""
        keys = {one.key for one in self._asides(target.pair).values()}
        known = self._look.stored.chats.get(target.pair, {})
        there = {chat_id for chat_id, have in known.items() if have is not None}
        return keys | there | set(self._not_imported(target))

    def _named(self, pair: PairKey, old: OldPair | None) -> set[str]:
        """Chats that are in no table of chats, and that a record which is set aside names."""
        named = {str(one.details.get("chat_id")) for one in self._asides(pair).values()}
        return named - {chat.chat_id for chat in (old.pair.chats if old is not None else [])}

    def _asides(self, pair: PairKey) -> Mapping[tuple[str, str], QuarantinedRow]:
        return self._look.stored.quarantined.get(pair, {})


def _chats_of(old: OldPair | None) -> set[str]:
    if old is None:
        return set()
    named = {record.chat_id for record in old.pair.records if record.chat_id is not None}
    return named | {chat.chat_id for chat in old.pair.chats}


def _old_amounts(old: OldPair | None) -> _Amounts:
    records = old.pair.records if old is not None else []
    return _sum((record.total_ms or 0, record.cost_micro or 0) for record in records)


def _sum(amounts: Iterable[_Amounts]) -> _Amounts:
    ms = micro = 0
    for one in amounts:
        ms, micro = ms + one[0], micro + one[1]
    return ms, micro


def _amounts_text(amounts: _Amounts) -> str:
    return f"{amounts[0]} ms, {amounts[1]} micro-credits"


def _fraction(one: StoredRemainder | None) -> str:
    return "nothing" if one is None else f"{one.ms} ms, {one.credits} credits"
