"""How numbers, ages and foreign text are said to a person. Pure."""

from datetime import UTC, datetime
from typing import Any

from supervisor.core.printable import printable

_KIB = 1024
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def clean(text: object) -> str:
    """Make text from elsewhere harmless on a terminal: no control characters, one line."""
    return printable(" ".join(str(text).split()))


def _number(value: object) -> float | None:
    """Return what an event has as a number; None for none, and for one of hundreds of digits."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def size(size_bytes: object) -> str:
    """Say a size: `812 B`, `36.0 KB`."""
    value = _number(size_bytes) or 0.0
    if value < _KIB:
        return f"{value:.0f} B"
    for unit in ("KB", "MB", "GB"):
        value /= _KIB
        if value < _KIB:
            return f"{value:.1f} {unit}"
    return f"{value / _KIB:.1f} TB"


def progress(doing: str, done_bytes: object, total_bytes: object) -> str:
    """Say how far something is: `reading snapshot 3 of 12: 340 of 1,024 MB`."""
    done, total = _number(done_bytes) or 0.0, _number(total_bytes) or 0.0
    unit, name = (_KIB**2, "MB") if total >= 10 * _KIB**2 else (_KIB, "KB")
    return f"{doing}: {done / unit:,.0f} of {total / unit:,.0f} {name}"


def span(seconds: object) -> str:
    """Say how long something lasted or is ago: `0.21 s`, `12 s`, `3 min`, `2 h`, `5 days`."""
    value = _number(seconds)
    if value is None:
        return "some time"
    value = max(0.0, value)
    if value < 10:  # noqa: PLR2004 - from here on hundredths say nothing
        return f"{value:.2f} s"
    for limit, unit, name in (
        (2 * _MINUTE_S, 1, "s"),
        (2 * _HOUR_S, _MINUTE_S, "min"),
        (2 * _DAY_S, _HOUR_S, "h"),
    ):
        if value < limit:
            return f"{value / unit:.0f} {name}"
    return f"{value / _DAY_S:.0f} days"


def age_s(taken_at: object, now: datetime | None = None) -> float | None:
    """Return how many seconds ago an RFC 3339 time was, or None if it is none."""
    try:
        then = datetime.fromisoformat(str(taken_at))
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return ((now or datetime.now(UTC)) - then).total_seconds()


def count(number: object, thing: str) -> str:
    """Say `1 file`, `2 files`."""
    return f"{clean(number)} {thing}" if number == 1 else f"{clean(number)} {thing}s"


def names(values: object) -> str:
    """Say a list in one line."""
    return ", ".join(clean(v) for v in values) if isinstance(values, list | tuple) else ""


def get(event: dict[str, Any], key: str) -> str:
    """Return a field of an event as harmless text; empty if it is not there."""
    value = event.get(key)
    return "" if value is None else clean(value)


def inner(event: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a field that is an object; empty if it is not."""
    value = event.get(key)
    return value if isinstance(value, dict) else {}


def seconds(value: object) -> str:
    """Say a measured time, `0.31 s`; empty if there is none."""
    number = _number(value)
    return "" if number is None else f"{number:.2f} s"


def listed(event: dict[str, Any], key: str) -> list[Any]:
    """Return a field that is a list; empty if it is not."""
    value = event.get(key)
    return value if isinstance(value, list) else []
