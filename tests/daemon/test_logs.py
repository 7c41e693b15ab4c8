"""What a line of the log looks like, and what never stands in one."""

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from daemon.logging.logs import configure_logging, configure_worker_logging, mask_credentials
from loadtests.common.timeouts import scaled


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_pipe_gets_json_lines_with_event_level_and_utc_time() -> None:
    """One line, one object, whatever the values hold."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    structlog.get_logger().info("chat.started", chat_id="c\n1", at=17)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["chat_id"], line["at"]) == (
        "chat.started",
        "info",
        "c\n1",
        17,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", str(line["timestamp"]))


def test_context_variables_are_merged() -> None:
    """What is bound once stands in every line."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    with structlog.contextvars.bound_contextvars(actor="a1"):
        structlog.get_logger().info("batch.done")
        logging.getLogger("other").warning("from %s", "outside")
    assert [line["actor"] for line in lines(stream)] == ["a1", "a1"]


def test_standard_library_logs_take_the_same_way() -> None:
    """Libraries' logs have the same form and name their logger."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("library").error("lost %s", "redis://u:hunter2@h/0")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == (
        "lost redis://u:***@h/0",
        "error",
        "library",
    )


def test_levels_below_are_dropped_for_both() -> None:
    """`level` rules structlog and the standard library alike."""
    stream = io.StringIO()
    configure_logging("warning", "json", stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("x").info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_repeated_calls_do_not_repeat_lines() -> None:
    """Worker processes may be configured twice."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    configure_logging(stream=stream)
    logging.getLogger("x").warning("once")
    assert len(lines(stream)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hunter2@127.0.0.1:6379/0",
        "postgresql+psycopg2://me:hunter2@h/db",
        "rediss://me:hun@ter/hunter2@h:1",
        "at postgresql://h/db?user=x&password=hunter2&sslmode=on",
        "host=h password=hunter2 user=x",
    ],
)
def test_passwords_in_text_are_masked(text: str) -> None:
    """Whatever the scheme."""
    assert "hunter2" not in mask_credentials(text)
    assert "***" in mask_credentials(text)


def test_text_without_credentials_is_left_alone() -> None:
    """URLs without a password stay readable."""
    for text in ("http://127.0.0.1:8080/x", "redis://127.0.0.1:6379/0", "mail a@b.c", "10:30 a@b"):
        assert mask_credentials(text) == text


def test_secrets_are_masked_at_any_depth_and_in_tracebacks() -> None:
    """Keys by their name, URLs anywhere, objects by their text."""
    stream = io.StringIO()
    configure_logging(stream=stream)
    log = structlog.get_logger()
    nested = {"urls": ["redis://:hunter2@h"], "Token": "hunter2", "deep": ({"secret": "hunter2"},)}
    log.info(
        "up",
        password="hunter2",
        db_password="hunter2",
        nested=nested,
        error=OSError("redis://:hunter2@h"),
    )
    try:
        raise RuntimeError("can't reach redis://:hunter2@h")
    except RuntimeError:
        log.exception("down", token=None)
    assert "hunter2" not in stream.getvalue()
    assert "RuntimeError" in str(lines(stream)[1]["exception"])


def test_unknown_levels_and_formats_are_refused() -> None:
    """By name."""
    with pytest.raises(ValueError, match="loud"):
        configure_logging("loud")
    with pytest.raises(ValueError, match="xml"):
        configure_logging("info", "xml")


def test_a_terminal_gets_coloured_text() -> None:
    """`auto` looks at the stream."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        configure_logging(stream=terminal)
        structlog.get_logger().info("ready", token="hunter2")
        terminal.flush()
        text = os.read(master, 65536).decode()
    os.close(master)
    assert "\x1b[" in text
    assert "ready" in text
    assert "hunter2" not in text


def test_console_format_in_a_pipe_has_no_colours() -> None:
    """Readable, and fit for a file."""
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    structlog.get_logger().info("ready", port=1)
    assert "ready" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


@pytest.mark.parametrize("format_name", ["console", "json"])
@pytest.mark.parametrize("text", ["\x1b[31m", "\x1b]8;;http://x\x07", "\x9b31m", "\u202egpj", "\r"])
def test_what_is_logged_drives_no_terminal(format_name: str, text: str) -> None:
    """In the event, in a field, and in an exception."""
    stream = io.StringIO()
    configure_logging("info", format_name, stream)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        structlog.get_logger().exception(text, chat_id=text, ids=[text])
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))


def test_it_works_in_a_process_of_its_own() -> None:
    """A plain call is all that a worker needs; standard error is the default."""
    code = (
        "import structlog, daemon.logging.logs as logs; logs.configure_logging();"
        "structlog.get_logger().info('x')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=scaled(60)
    )
    assert json.loads(done.stderr)["event"] == "x"


def test_a_workers_log_never_takes_more_than_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the process lives; the newest lines are there, each whole."""
    monkeypatch.setattr("daemon.logging.logs.FILE_BYTES_MAX", 2_000)
    configure_worker_logging(str(tmp_path), "info", "worker")
    for number in range(200):
        structlog.get_logger().info("batch.done", number=number)
    older, newer = sorted(tmp_path.iterdir(), reverse=True)
    assert (newer.name, older.name) == ("worker.log", "worker.log.1")
    assert all(file.stat().st_size < 2_500 for file in (older, newer))
    lines = (older.read_text() + newer.read_text()).splitlines()
    numbers = [json.loads(line)["number"] for line in lines]
    assert numbers == list(range(200 - len(numbers), 200))


def test_a_worker_logs_into_a_private_file_of_its_own(tmp_path: Path) -> None:
    """JSON lines, appended at once; nothing for other users."""
    for _ in range(2):
        configure_worker_logging(str(tmp_path / "logs"), "info", "worker")
        structlog.get_logger().info("batch.done", token="hunter2")
    file = tmp_path / "logs" / "worker.log"
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in found] == ["batch.done"] * 2
    assert file.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in file.read_text()
