"""Notices a bot that is restarted again and again by what it writes itself. No I/O.

A person who saves one file many times looks the same: so it is said, and nothing is done.
"""

from datetime import datetime

from supervisor.cli.words import clean

# So many restarts in a row for the same file, each so soon after the one before.
RESTARTS = 5
WITHIN_S = 10.0


class Repeats:
    """The restarts of one bot, as they are told."""

    def __init__(self) -> None:
        self._same: frozenset[str] = frozenset()
        self._count = 0
        self._at: datetime | None = None

    def restarted(self, changed: object, at: object) -> str:
        """Take a restart; return the file that caused the last five, once per row of them.

        `changed`: the files that it was for, if it was for any. `at`: when, RFC 3339.
        """
        paths = changed if isinstance(changed, list | tuple) else ()
        files = frozenset(clean(path) for path in paths)
        then, self._at = self._at, _time(at)
        soon = then and self._at and (self._at - then).total_seconds() <= WITHIN_S
        common = self._same & files
        self._count = self._count + 1 if common and soon else 1
        self._same = common if self._count > 1 else files
        return min(self._same) if self._count == RESTARTS else ""


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
