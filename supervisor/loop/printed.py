"""What one bot printed, over its generations: kept, shown, and handed on to logs and readers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisor.process import output
from supervisor.process.masks import Codes
from supervisor.process.speech import STREAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Where lines go: to a console (`print`), to log files or the journal, to who reads along.

    `terminal`: bots have a terminal, at which a person may have to scan what is drawn.
    """

    terminal: bool
    print: Callable[[str, str, bytes], None]
    log: Callable[[str, str, str], None]
    offer: Callable[[dict[str, Any]], None]


class Printed:
    """The lines of one bot. `kept`: the last of them; `asking`: the generation that wants one."""

    def __init__(self, bot: str, outlets: Outlets, report: Callable[..., None]) -> None:
        self.kept = output.Kept()
        self.asking: int | None = None
        self._bot = bot
        self._outlets = outlets
        self._report = report
        self._codes = {stream: Codes() for stream in STREAMS}
        self._shown: dict[tuple[int, str], bytes] = {}  # of lines that are not complete yet

    def line(self, generation: int, stream: str, line: bytes) -> None:
        """Take a line that is complete."""
        text = line.decode("utf-8", "replace")
        kept = self._codes[stream].keep(text)  # a drawn QR code is a secret
        if kept is not None:
            self._keep(generation, stream, kept)
        shown = self._shown.pop((generation, stream), b"")
        rest = line.removeprefix(shown)
        if kept != text and not self._outlets.terminal:
            rest = b"" if kept is None else kept.encode()
            shown = shown or line
        if rest or not shown:
            self._outlets.print(self._bot, stream, rest)

    def prompt(self, generation: int, stream: str, begun: bytes) -> None:
        """Show an unended line at once: somebody has to see what is asked."""
        self._shown[generation, stream] = begun
        self._outlets.print(self._bot, stream, begun)
        if output.asks(begun):
            self.asking = generation
            self._report("line_wanted", generation=generation)

    def dropped(self, generation: int, stream: str, count: int) -> None:
        """Say in the bot's own output, too, what is not in it."""
        text = f"[{count} lines left out: more than can be kept]"
        self._keep(generation, stream, text)
        self._outlets.print(self._bot, stream, text.encode())
        self._report("output_dropped", generation=generation, stream=stream, lines=count)

    def _keep(self, generation: int, stream: str, text: str) -> None:
        record = {"bot": self._bot, "generation": generation, "stream": stream, "line": text}
        self.kept.add(record)
        self._outlets.offer(record)
        self._outlets.log(self._bot, stream, text)

    def shown(self) -> dict[str, bytes]:
        """Return what `adopt` takes of lines that are not complete."""
        return {f"{number} {name}": text for (number, name), text in self._shown.items()}

    def adopt(
        self, lines: Iterable[dict[str, Any]], shown: Mapping[str, bytes], asking: int | None
    ) -> None:
        """Go on from there."""
        for line in lines:
            self.kept.add(line)
        for key, text in shown.items():
            number, _, name = key.partition(" ")
            self._shown[int(number), name] = text
        self.asking = asking
