"""Finds the QR codes that a bot draws itself. What is drawn is a secret: it stays in memory."""

from supervisor.presets.modules import is_code
from supervisor.process.masks import drawn, row

_ROWS = 10  # the smallest code has 21 modules, two in a row of half blocks
_ROWS_MAX = 200  # the largest, one module a row, and its frame


class Picture:
    """Takes a stream's lines in their order."""

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._ended = False

    def take(self, text: str) -> bool:
        """Return whether a line is a row of a drawn code."""
        if not drawn(text):
            self._ended = True
            return False
        if self._ended:
            self._rows, self._ended = [], False
        if len(self._rows) < _ROWS_MAX:
            self._rows.append(row(text))
        return True

    @property
    def drawing(self) -> bool:
        """Whether the last line was a row."""
        return bool(self._rows) and not self._ended

    @property
    def code(self) -> tuple[str, ...]:
        """The rows of the last code; none for a bar or a banner of the same signs."""
        return tuple(self._rows) if len(self._rows) >= _ROWS and is_code(self._rows) else ()
