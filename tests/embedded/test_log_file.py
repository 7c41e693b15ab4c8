"""Logs of servers take a bounded place, and the server that writes them knows nothing of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.embedded.log_file import LogFile
from daemon.logging.logs import FILE_BYTES_MAX

LINE = b"%07d " + b"x" * 991 + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path, "server")


@pytest.fixture
def server(log: LogFile) -> Iterator[int]:
    """The descriptor that a server writes to, for as long as it lives."""
    descriptor = log.open_new()
    yield descriptor
    os.close(descriptor)


def _write(server: int, first: int, lines: int) -> None:
    os.write(server, b"".join(LINE % number for number in range(first, first + lines)))


def _numbers(path: Path) -> list[int]:
    return [int(line[:7]) for line in path.read_bytes().splitlines()]


def test_a_log_that_is_not_full_is_left_alone(log: LogFile, server: int) -> None:
    _write(server, 0, FILE_BYTES_MAX // 1_000)
    log.bound()
    assert log.path.stat().st_size == FILE_BYTES_MAX
    assert len(list(log.path.parent.iterdir())) == 1


def test_a_full_log_goes_on_empty_and_nothing_is_missing_or_there_twice(
    log: LogFile, server: int
) -> None:
    """The older ones move on, as at a start."""
    many = FILE_BYTES_MAX // 1_000
    _write(server, 0, many)
    log.bound()
    _write(server, many, 1)
    log.bound()
    assert log.path.read_bytes() == b""
    _write(server, many + 1, 2)
    assert _numbers(log.path) == [many + 1, many + 2]
    assert _numbers(log.path.with_name("server.log.1"))[-many:] == list(range(1, many + 1))
    assert log.path.with_name("server.log.1").stat().st_mode & 0o777 == 0o600


def test_however_much_is_written_the_logs_keep_within_four_files(log: LogFile, server: int) -> None:
    """The newest lines stay."""
    many = FILE_BYTES_MAX // 1_000
    for round_ in range(6):
        _write(server, round_ * 2 * many, 2 * many)
        log.bound()
    os.write(server, b"last\n")
    files = list(log.path.parent.iterdir())
    assert len(files) == 4
    assert sum(file.stat().st_size for file in files) <= 3 * FILE_BYTES_MAX + 5
    assert _numbers(log.path.with_name("server.log.1"))[-1] == 12 * many - 1
    assert log.path.read_bytes() == b"last\n"


def test_a_log_that_is_not_there_is_within_its_bound(log: LogFile) -> None:
    """Of a server of an earlier life whose log somebody has removed."""
    log.bound()
    assert not log.path.exists()
