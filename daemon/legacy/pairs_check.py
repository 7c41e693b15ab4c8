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
        for wanted in self._look.wanted:
            yield from self._pair(wanted, self._olds.get(wanted.pair))

    def _pair(self, wanted: TargetRecords, old: OldPair | None) -> Iterator[RecordDifference]:
        before = _sum([_old_amounts(old), (wanted.split.surplus_ms, 0)])
        elsewhere = self._elsewhere(wanted)
        after = _sum([self._imported(wanted.pair), self._aside(wanted.pair), elsewhere])
        self._count(wanted, old, elsewhere)
        if wanted.is_gone:
            self._count_gone(wanted.pair, after)
        elif before != after:
            yield RecordDifference(
                kind="sum", pair=wanted.pair, key="", expected=_told(before), found=_told(after)
            )
        if not wanted.is_gone:
            yield from self._leftovers(wanted)
        yield from self._too_little(wanted)
        yield from self._not_adopted(wanted)
        yield from self._missing(wanted, old)

    def _count(self, wanted: TargetRecords, old: OldPair | None, elsewhere: _Amounts) -> None:
        if old is not None:
            records, chats = len(old.pair.records), len(old.pair.chats)
            self._counts.update(pairs=1, records=records, chats=chats)
        running = sum(1 for i in self._there(wanted) if i not in self._adopted)
        self._counts.update(
            brought=len(self._look.kept.chats.get(wanted.pair, {})),
            aside=len(self._asides(wanted.pair)),
            adopted=sum(1 for i in self._not_imported(wanted) if i in self._adopted),
            running=running,
            elsewhere_ms=elsewhere[0],
            elsewhere_micro=elsewhere[1],
            surplus_ms=wanted.split.surplus_ms,
        )

    def _count_gone(self, pair: PairKey, after: _Amounts) -> None:
        """What was imported of old records that are not there any more."""
        self._counts.update(gone_ms=after[0], gone_micro=after[1])
        self.leftovers_gone += self._look.kept.remainders.get(pair, {}).values()

    def _imported(self, pair: PairKey) -> _Amounts:
        haves = self._look.kept.chats.get(pair, {}).values()
        return _sum((have.active_ms, have.cost_micro) for have in haves if have is not None)

    def _aside(self, pair: PairKey) -> _Amounts:
        return _sum((aside.total_ms, aside.cost_micro) for aside in self._asides(pair).values())

    def _elsewhere(self, wanted: TargetRecords) -> _Amounts:
        """Shares of chats that run in the old system still, or were adopted."""
        return _sum(self._not_imported(wanted).values())

    def _not_imported(self, wanted: TargetRecords) -> dict[str, _Amounts]:
        return {**self._there(wanted), **self._ended_here(wanted)}

    @staticmethod
    def _there(wanted: TargetRecords) -> dict[str, _Amounts]:
        return {
            one.chat_id: (one.carried_ms, one.carried_cost_micro) for one in wanted.split.running
        }

    def _ended_here(self, wanted: TargetRecords) -> dict[str, _Amounts]:
        """Chats that were adopted and have ended in the old system too, by now."""
        return {
            chat_id: (row.active_ms, row.cost_micro)
            for chat_id, row in wanted.rows.items()
            if chat_id in self._adopted
            and chat_id not in self._look.kept.chats.get(wanted.pair, ())
        }

    def _leftovers(self, wanted: TargetRecords) -> Iterator[RecordDifference]:
        kept: Mapping[str, StoredRemainder] = self._look.kept.remainders.get(wanted.pair, {})
        for key in kept.keys() | wanted.remainders.keys():
            before, after = wanted.remainders.get(key), kept.get(key)
            if before != after:
                yield RecordDifference(
                    kind="fraction",
                    pair=wanted.pair,
                    key=key,
                    expected=_fraction(before),
                    found=_fraction(after),
                )

    def _too_little(self, wanted: TargetRecords) -> Iterator[RecordDifference]:
        """Who was adopted carried its share at least: time went on until then.

        Nor is its share less than it was then: other chats would have the rest once more.
        """
        for chat_id, share in self._not_imported(wanted).items():
            one = self._adopted.get(chat_id)
            if one is None:
                continue
            carried = (one.carried_ms, one.carried_micro)
            then = (one.share_ms or 0, one.share_micro or 0)
            least = [max(share[0], then[0]), max(share[1], then[1])]
            is_less = not wanted.is_gone and (share[0] < then[0] or share[1] < then[1])
            if is_less or carried[0] < least[0] or carried[1] < least[1]:
                yield RecordDifference(
                    kind="adopted",
                    pair=wanted.pair,
                    key=chat_id,
                    expected=_told(share),
                    found=_told(carried),
                )

    def _not_adopted(self, wanted: TargetRecords) -> Iterator[RecordDifference]:
        """Another has begun here under the name of one that runs there: its share is nowhere."""
        known = self._look.kept.chats.get(wanted.pair, {})
        for chat_id, share in self._there(wanted).items():
            is_here = chat_id in self._look.books.named
            if is_here and chat_id not in known and chat_id not in self._adopted:
                found = "a record that does not carry it"
                yield RecordDifference(
                    kind="not_adopted",
                    pair=wanted.pair,
                    key=chat_id,
                    expected=_told(share),
                    found=found,
                )

    def _missing(self, wanted: TargetRecords, old: OldPair | None) -> Iterator[RecordDifference]:
        kept = self._look.kept.chats.get(wanted.pair, {})
        answered = self._answered(wanted) | self._named(wanted.pair, old)
        for chat_id in _chats_of(old) - answered:
            yield RecordDifference(
                kind="chat",
                pair=wanted.pair,
                key=chat_id,
                expected="a record or a reason",
                found="neither",
            )
        for chat_id, have in kept.items():
            if have is None:
                yield RecordDifference(
                    kind="record",
                    pair=wanted.pair,
                    key=chat_id,
                    expected="its record",
                    found="none",
                )

    def _answered(self, wanted: TargetRecords) -> set[str]:
        """Chats of which something is known here, or that run in the old system."""
        keys = {one.key for one in self._asides(wanted.pair).values()}
        kept = self._look.kept.chats.get(wanted.pair, {})
        stored = {chat_id for chat_id, have in kept.items() if have is not None}
        return keys | stored | set(self._not_imported(wanted))

    def _named(self, pair: PairKey, old: OldPair | None) -> set[str]:
        """Chats that are in no table of chats, and that a record which is set aside names."""
        named = {str(one.details.get("chat_id")) for one in self._asides(pair).values()}
        return named - {chat.chat_id for chat in (old.pair.chats if old is not None else [])}

    def _asides(self, pair: PairKey) -> Mapping[tuple[str, str], QuarantinedRow]:
        return self._look.kept.quarantined.get(pair, {})


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


def _told(amounts: _Amounts) -> str:
    return f"{amounts[0]} ms, {amounts[1]} micro-credits"


def _fraction(one: StoredRemainder | None) -> str:
    return "nothing" if one is None else f"{one.ms} ms, {one.credits} credits"
