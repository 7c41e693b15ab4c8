"""A digest of rows in any order, to which rows are added and from which they are taken."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

_MODULUS: Final = 1 << 256
_encode: Final = msgspec.json.Encoder().encode


class RowsDigest(NamedTuple):
    """How many rows there are, and the sum of the SHA-256 of each one's JSON, modulo 2^256."""

    rows: int = 0
    total: int = 0

    def plus(self, rows: Iterable[tuple[Any, ...]]) -> "RowsDigest":
        """Give the digest with these rows as well."""
        count, total = self
        for row in rows:
            count, total = count + 1, total + _number(row)
        return RowsDigest(count, total % _MODULUS)

    def minus(self, rows: Iterable[tuple[Any, ...]]) -> "RowsDigest":
        """Give the digest without these rows, which are in it."""
        left = RowsDigest().plus(rows)
        return RowsDigest(self.rows - left.rows, (self.total - left.total) % _MODULUS)

    @property
    def digits(self) -> str:
        """The sum as hex digits."""
        return f"{self.total:064x}"

    @staticmethod
    def parsed(rows: int, digits: str) -> "RowsDigest":
        """Give the digest that was written as a number and digits."""
        return RowsDigest(rows, int(digits, 16))

    def __str__(self) -> str:
        """Short, for a line that compares two."""
        return f"{self.rows} rows, digest {self.digits[:16]}"


def _number(row: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.sha256(_encode(row)).digest(), "big")
