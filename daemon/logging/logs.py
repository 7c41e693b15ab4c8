"""Logs: JSON lines in a pipe, coloured text in a terminal, never a credential.

Nothing that is logged can drive a terminal: JSON is ASCII, and text is escaped.
"""

import io
import logging
import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from daemon.console.escape import printable_lines
from daemon.logging.masking import MASK, mask_credentials

__all__ = ["MASK", "configure_logging", "configure_worker_logging", "mask_credentials"]

FILE_BYTES_MAX = 10_000_000
"""A log file that is larger is full."""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SECRET_KEY = re.compile(r"(?:.*[_.-])?(?:password|passwd|secret|token)s?", re.IGNORECASE)


def configure_logging(
    level: str = "info",
    format: str = "auto",  # noqa: A002 - the setting is called so
    stream: TextIO | None = None,
) -> None:
    """Send structlog and standard library logs to `stream` (standard error by default).

    `level` is debug, info, warning, error or critical. `format` is `json`, `console`, or
    `auto`: console in a terminal, else JSON lines. A plain call that may be repeated, so
    that worker processes can make it too. Raises ValueError for other levels and formats.
    """
    out = sys.stderr if stream is None else stream
    number = _level_number(level)
    finish = _finish(_is_console(format, out), out)
    structlog.configure(
        processors=[*_shared(), *finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(number, finish, out)


def configure_worker_logging(folder: str, level: str, name: str) -> None:
    """Send the logs of a worker process to a file of its own, as JSON lines.

    The file is `folder`/`name`.log; one over 10 MB is moved to `name`.log.1, whose place it takes.
    """
    path = Path(folder) / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    configure_logging(level, "json", cast("TextIO", _BoundedFile(path)))


class _BoundedFile(io.TextIOBase):
    """A log file that makes room for itself; with the one before it, at most twice its size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = self._open()

    def write(self, text: str) -> int:
        with self._lock:
            if self._file.tell() > FILE_BYTES_MAX:
                self._file.close()
                self._path.replace(self._path.with_suffix(".log.1"))
                self._file = self._open()
            return self._file.write(text)

    def flush(self) -> None:
        with self._lock:
            self._file.flush()

    def _open(self) -> TextIO:
        file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        return os.fdopen(file, "a", buffering=1)


def _level_number(level: str) -> int:
    if level.lower() not in _LEVELS:
        raise ValueError(f"log level {level!r} is not one of {', '.join(_LEVELS)}")
    return _LEVELS[level.lower()]


def _is_console(format_name: str, out: TextIO) -> bool:
    if format_name not in {"auto", "json", "console"}:
        raise ValueError(f"log format {format_name!r} is not one of auto, json, console")
    return format_name == "console" or (format_name == "auto" and out.isatty())


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _finish(is_console: bool, out: TextIO) -> list[Processor]:
    # The traceback becomes text before the masking: URLs stand in exceptions too.
    text: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _mask,
    ]
    if not is_console:
        return [*text, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [
        *text,
        _escape,
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain),
    ]


def _route_standard_library(number: int, finish: list[Processor], out: TextIO) -> None:
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.add_logger_name],
            processors=[clean, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # Alembic tells every step of every look at the schema; what matters we log ourselves.
    logging.getLogger("alembic").setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _masked_item(key, value) for key, value in event.items()}


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Text of others may be anything; what is no text is shown as Python writes it, escaped."""
    return {k: printable_lines(v) if isinstance(v, str) else v for k, v in event.items()}


def _masked_item(key: object, value: object) -> object:
    is_secret = isinstance(key, str) and _SECRET_KEY.fullmatch(key) is not None
    return MASK if is_secret and value is not None else _masked(value)


def _masked(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _masked_item(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return mask_credentials(value if isinstance(value, str) else repr(value))
