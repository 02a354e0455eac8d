"""What one generation prints: read from its pipes or its terminal, without secrets, line by line.

It owns our ends and the masks. It knows streams and lines; who may hear them is not its business.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from supervisor.process import output
from supervisor.process.carried import Reading
from supervisor.process.masks import Masks, payload

STREAMS = ("stdout", "stderr")


class Speech:
    """Tells `on_line(stream, line)` all that is printed, and the others as `LineReader` does.

    `blot`: takes out what only this bot's secrets are. `mask`: patterns, see `Masks`. `uid`: whose
    process it is, if not ours.
    """

    def __init__(
        self,
        *,
        on_line: output.Sink,
        on_prompt: output.Sink | None,
        on_drop: Callable[[str, int], None],
        before: Callable[[], None],
        blot: Callable[[bytes], bytes],
        mask: Sequence[str],
        uid: int | None,
    ) -> None:
        self.may_drop = True  # lines of a flood; not while one of them is waited for
        # Is told what a QR code must encode, where a line says it: before that is blotted out.
        self.on_code: Callable[[str], None] | None = None
        self._on_line = on_line
        self._on_prompt = on_prompt
        self._on_drop = on_drop
        self._before = before
        self._blot = blot
        self._masks = {stream: Masks(mask) for stream in STREAMS}
        self._uid = uid
        self._readers: list[output.LineReader] = []

    def open(self, *, terminal: bool, close_after: list[int]) -> tuple[int, int]:
        """Return the child's stdout and stderr, which are one in a terminal. Raises: OSError."""
        if terminal:
            one = self._read(output.terminal(), "stdout", close_after)
            return one, one
        out = self._read(output.pipe(), "stdout", close_after)
        return out, self._read(output.pipe(), "stderr", close_after)

    def _read(self, ends: output.Ends, stream: str, close_after: list[int]) -> int:
        close_after.append(ends.childs)
        if self._uid is not None:
            os.fchown(ends.childs, self._uid, -1)  # else it could not open /dev/stdout
        self._follow(Reading(fd=ends.ours, stream=stream))
        return ends.childs

    def _follow(self, reading: Reading) -> None:
        reader = output.LineReader(
            reading.fd,
            reading.stream,
            self._line,
            None if self._on_prompt is None else self._prompt,
            on_drop=self._on_drop,
            may_drop=lambda: self.may_drop,
            before=self._before,
            carried=reading,
        )
        self._readers.append(reader)

    def mask(self, more: Sequence[str]) -> None:
        """Blot out by these patterns from now on."""
        for masks in self._masks.values():
            masks.go_by(more)

    def _line(self, stream: str, line: bytes) -> None:
        if self.on_code is not None and (code := payload(line)):
            self.on_code(code)
        self._on_line(stream, self._masks[stream].blot(self._blot(line)))

    def _prompt(self, stream: str, begun: bytes) -> None:
        assert self._on_prompt is not None  # noqa: S101 - else no reader was told of it
        self._on_prompt(stream, self._masks[stream].glimpse(self._blot(begun)))

    def clean(self, text: str) -> str:
        """Return a text that the bot said on another way, without secrets, too."""
        said = self._blot(text.encode("utf-8", "replace")).decode("utf-8", "replace")
        return self._masks["stdout"].clean(said)

    def carry(self) -> tuple[Reading, ...]:
        """Return what `adopt` takes."""
        found = [reading for reader in self._readers if (reading := reader.carry()) is not None]
        return tuple(replace(each, **self._masks[each.stream].carry()) for each in found)

    def adopt(self, readings: Iterable[Reading]) -> None:
        """Go on with ends that are open."""
        for reading in readings:
            masks = self._masks[reading.stream]
            masks.key_lines, masks.wrapped = reading.key_lines, reading.wrapped
            self._follow(reading)

    def drain(self) -> None:
        """Read what is there already."""
        for reader in self._readers:
            reader.drain()

    def close(self) -> None:
        """Read no more."""
        for reader in self._readers:
            reader.close()
