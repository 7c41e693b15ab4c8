"""Which partition an account is in: what programs in other languages have to come to, too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd.rules import outcomes
from meterd.rules.commands import Command, parse_entry
from meterd.rules.partitions import (
    PARTITIONS_MAX,
    Partition,
    entry_name,
    is_partitions,
    partition_of,
)

COUNTS = [1 << power for power in range(9)]
VECTORS = [
    # The check value of CRC-32 (ISO-HDLC), that of zlib: 0xCBF43926.
    ("123456789", 256, 0x26),
    ("123456789", 16, 6),
    ("ann", 256, 0x73),
    ("bob", 256, 0x40),
    ("user-1@example.com", 256, 0x35),
]

users = st.text(min_size=1, max_size=64)


@pytest.mark.parametrize(("user_id", "partitions", "number"), VECTORS)
def test_the_vectors_hold(user_id: str, partitions: int, number: int) -> None:
    assert partition_of(user_id, partitions) == number


@given(users, st.sampled_from(COUNTS))
def test_a_user_is_in_one_partition_of_so_many(user_id: str, partitions: int) -> None:
    """And twice as many partitions share each of them out between two."""
    holding = [n for n in range(partitions) if Partition(n, partitions).has(user_id)]
    assert holding == [partition_of(user_id, partitions)]
    if partitions < PARTITIONS_MAX:
        assert partition_of(user_id, 2 * partitions) % partitions == holding[0]


@given(st.integers(-10, 2_000))
def test_there_may_be_a_power_of_two_up_to_256(number: int) -> None:
    assert is_partitions(number) == (number in COUNTS)


entries = st.builds("{}-{}".format, st.integers(0, 10**13), st.integers(0, 1 << 64))


@given(st.lists(st.tuples(entries, st.integers(0, 255)), min_size=2, max_size=2, unique=True))
def test_no_two_entries_of_all_partitions_have_the_same_name(
    pair: list[tuple[str, int]],
) -> None:
    """The names of partition 0 are those of version 0.1."""
    first, second = (entry_name("top_up", *one) for one in pair)
    assert first != second
    assert entry_name("top_up", pair[0][0], 0) == f"top_up:{pair[0][0]}"


identifiers = st.from_regex(r"[A-Za-z0-9_.:@/+=-]{1,20}", fullmatch=True)
ENTRY = "1700000000000-0"


def _parsed(fields: dict[str, str], partition: Partition) -> object:
    flat = [part.encode() for pair in fields.items() for part in pair]
    return parse_entry(ENTRY, flat, partition)


@given(identifiers, st.sampled_from(COUNTS), st.integers(0, 255))
def test_a_command_is_one_in_its_users_partition_only(
    user_id: str, partitions: int, number: int
) -> None:
    """Elsewhere it is ``wrong_partition``, and the message names the stream that it belongs to."""
    partition = Partition(number % partitions, partitions)
    fields = {"type": "top_up", "id": "i", "user_id": user_id, "amount": "1", "reply_to": "r"}
    found = _parsed(fields, partition)
    if partition.has(user_id):
        assert isinstance(found, Command)
        return
    assert not isinstance(found, Command)
    told = getattr(found, "outcome", ""), getattr(found, "id", ""), getattr(found, "reply_to", "")
    assert told == (outcomes.WRONG_PARTITION, "i", "r")
    right = partition_of(user_id, partitions)
    assert f"meterd:{{{right}}}:commands" in getattr(found, "reason", "")


@given(identifiers, st.sampled_from(COUNTS), st.integers(0, 255))
def test_with_several_partitions_each_command_names_its_user(
    chat_id: str, partitions: int, number: int
) -> None:
    """With one, the chat tells whose it is."""
    found = _parsed(
        {"type": "pause", "id": "i", "chat_id": chat_id},
        Partition(number % partitions, partitions),
    )
    if partitions == 1:
        assert isinstance(found, Command)
    else:
        assert getattr(found, "outcome", "") == outcomes.INVALID_COMMAND
        assert getattr(found, "reason", "").startswith("user_id: missing")


@given(identifiers, st.sampled_from(COUNTS[1:]))
def test_what_can_be_no_command_anywhere_is_invalid_in_each_partition(
    user_id: str, partitions: int
) -> None:
    for number in range(min(partitions, 4)):
        fields = {"type": "top_up", "id": "i", "user_id": user_id, "amount": "none"}
        found = _parsed(fields, Partition(number, partitions))
        assert getattr(found, "outcome", "") == outcomes.INVALID_COMMAND
