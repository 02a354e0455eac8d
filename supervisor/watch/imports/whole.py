"""Which files of the project may be loaded ahead themselves: those that are whole.

A module is whole if nothing that runs while it is imported, in it or in what it imports of the
project, depends on the moment. Modules that import each other are whole together or not at all, and
are loaded by the first of them, as the program does.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class _Frame:
    """A module that is running. `lowest`: the outermost running one that it leads back to."""

    name: str
    first: int
    whole: bool
    lowest: int


class Whole:
    """Follows the imports of the project's modules as they begin and end.

    What belongs together is found as the strongly connected components of a graph are, in one pass
    (R. Tarjan, Depth-first search and linear graph algorithms, 1972).
    """

    def __init__(self) -> None:
        self._running: list[_Frame] = []
        self._begun: list[str] = []  # those that have ended may yet belong to one that is running
        self._lowest: dict[str, int] = {}
        self._known: dict[str, bool] = {}

    def begin(self, name: str, *, whole: bool) -> None:
        """A module begins to run; `whole`: whether all that it does by itself may be done ahead."""
        depth = len(self._running)
        self._running.append(_Frame(name, len(self._begun), whole, depth))
        self._begun.append(name)
        self._lowest[name] = depth

    def spoil(self) -> None:
        """What runs is not whole."""
        self._running[-1].whole = False

    def needs(self, name: str) -> None:
        """What runs imports a module of the project, one that has begun at some time."""
        if not self._running:
            return  # the program itself
        frame = self._running[-1]
        if name in self._lowest:
            frame.lowest = min(frame.lowest, self._lowest[name])
        elif not self._known.get(name, False):
            frame.whole = False

    def end(self, name: str) -> tuple[str, ...]:
        """It has run to its end: return it and what belongs to it, if that is known and whole."""
        frame = self._running.pop()
        assert frame.name == name  # noqa: S101 - they end in the order in which they begin
        depth = len(self._running)
        if frame.lowest < depth:
            self._lowest[name] = frame.lowest
            above = self._running[-1]
            above.lowest = min(above.lowest, frame.lowest)
            above.whole &= frame.whole
            return ()
        together = tuple(self._begun[frame.first :])
        del self._begun[frame.first :]
        for each in together:
            del self._lowest[each]
            self._known[each] = frame.whole
        if not frame.whole and self._running:
            self._running[-1].whole = False
        return together if frame.whole else ()

    def abandon(self, name: str) -> None:
        """It is not there after all, or something that it needs; it may be tried again."""
        frame = self._running.pop()
        assert frame.name == name  # noqa: S101 - as above
        for each in self._begun[frame.first :]:
            del self._lowest[each]
            self._known[each] = False
        del self._begun[frame.first :]
        if self._running:
            self.spoil()
