"""How times, sizes and foreign text are said on the page. Pure; all else is the templates'."""

import re
from datetime import UTC, datetime

_KIB = 1024
_STEPS = ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h"))
# What colours and moves on a terminal: CSI and OSC sequences, and the short ones.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def size(size_bytes: object) -> str:
    """Say a size: `812 B`, `36.0 KB`."""
    value = float(size_bytes) if isinstance(size_bytes, int | float) else 0.0
    if value < _KIB:
        return f"{value:.0f} B"
    for unit in ("KB", "MB", "GB"):
        value /= _KIB
        if value < _KIB:
            return f"{value:.1f} {unit}"
    return f"{value / _KIB:.1f} TB"


def span(seconds: object) -> str:
    """Say how long something lasted: `4 ms`, `1.20 s`, `12 s`, `3 min`, `2 h`, `5 days`."""
    if not isinstance(seconds, int | float):
        return ""
    if isinstance(seconds, int) and seconds < 10:  # noqa: PLR2004 - as below
        return f"{seconds} s"
    if seconds < 1:
        tenths = 0.00005 <= seconds < 0.01  # noqa: PLR2004 - elsewhere they say nothing
        return f"{max(0.0, seconds) * 1000:.{1 if tenths else 0}f} ms"
    if seconds < 10:  # noqa: PLR2004 - from here on hundredths say nothing
        return f"{seconds:.2f} s"
    for limit, unit, name in _STEPS:
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def moment(at: object) -> datetime | None:
    """Return an RFC 3339 time, or None if it is none."""
    try:
        found = datetime.fromisoformat(str(at))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def ago(at: object, now: datetime | None = None) -> str:
    """Say how long ago a time was: `3 min ago`; empty for none."""
    found = moment(at)
    if found is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - found).total_seconds()
    return "just now" if seconds < 1 else f"{span(int(seconds))} ago"


def local(at: object) -> str:
    """Say a time as this machine's clock does."""
    found = moment(at)
    return "" if found is None else found.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def line(text: object) -> str:
    """Return a line of output as text: without what it would do to a terminal."""
    bare = _ESCAPE.sub("", str(text).rstrip("\r\n")).rpartition("\r")[2]
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in bare)
