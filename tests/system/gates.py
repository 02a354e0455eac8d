"""Named pipes that hold a supervisor or a bot in one phase, as long as a test needs."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from tests.system.harness import Folder


class Gate:
    """A named pipe that holds a restart in one phase, from `reached` to the end of the block."""

    def __init__(self, folder: Folder, phase: str) -> None:
        self._path = folder.root / "gates" / phase
        self._path.parent.mkdir(exist_ok=True)
        self._held: int | None = None

    def __enter__(self) -> Self:
        os.mkfifo(self._path)
        return self

    def reached(self, timeout_s: float = 20.0) -> None:
        """Return once somebody waits at the gate; nobody else will."""
        with ThreadPoolExecutor(1) as thread:
            opened = thread.submit(os.open, self._path, os.O_WRONLY)
            try:
                self._held = opened.result(timeout_s)
            except TimeoutError:
                os.close(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK))  # frees the thread
                raise AssertionError(f"{self._path.name} was never reached") from None
        self._path.unlink()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            os.close(self._held)
        self._path.unlink(missing_ok=True)
