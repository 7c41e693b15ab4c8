"""Moments and durations as people read them."""

from datetime import UTC, datetime


def moment(at_ms: int) -> str:
    """Local time in ISO form with milliseconds, e.g. ``2026-03-01T09:30:00.125+01:00``."""
    try:
        whole = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
        return whole.astimezone().isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # an entry's ID may be any number
        return f"{at_ms} ms since 1970"


def duration(ms: int) -> str:
    """Hours, minutes, seconds and milliseconds in columns, e.g. ``0:01:30.125``."""
    seconds, rest_ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{rest_ms:03d}"


def span(ms: int) -> str:
    """A duration with its units, e.g. ``1 h 30 min``, ``2 min 0.5 s`` or ``0 s``."""
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    minutes, rest_ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds, rest_ms = divmod(rest_ms, 1000)
    second = f"{seconds}.{rest_ms:03d}".rstrip("0").rstrip(".") if rest_ms else str(seconds)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    if second != "0" or not parts:
        parts.append(f"{second} s")
    return sign + " ".join(parts)
