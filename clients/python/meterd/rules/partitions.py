"""Which partition an account is in, and what is named after a stream entry of one (PROTOCOL 2)."""

import zlib
from typing import Final, NamedTuple

PARTITIONS_MAX: Final = 256


def is_partitions(number: int) -> bool:
    """Whether there may be so many partitions: a power of two, at most ``PARTITIONS_MAX``."""
    return 1 <= number <= PARTITIONS_MAX and number & (number - 1) == 0


def partition_of(user_id: str, partitions: int) -> int:
    """The number of a user's partition, of so many: CRC-32 of the UTF-8 bytes, modulo."""
    assert is_partitions(partitions), f"{partitions} is no number of partitions"
    return zlib.crc32(user_id.encode()) % partitions


class Partition(NamedTuple):
    """One of so many partitions."""

    number: int = 0
    partitions: int = 1

    @classmethod
    def of_user(cls, user_id: str, partitions: int) -> "Partition":
        """The one, of so many, that has the user's account."""
        return cls(partition_of(user_id, partitions), partitions)

    def has(self, user_id: str) -> bool:
        """Whether the user's account is in it."""
        return partition_of(user_id, self.partitions) == self.number


ONLY: Final = Partition()
"""The partition where there is no other."""


def entry_name(kind: str, entry: str, partition: int) -> str:
    """What something of this kind that a stream entry has made is called, in all partitions.

    Streams give their IDs each by itself, so those of partition 1 and later come with its number.
    """
    return f"{kind}:{partition}:{entry}" if partition else f"{kind}:{entry}"
