"""The tray takes files as they are while a bot stands still; they are looked at once it runs.

Hashing them takes five times as long as copying them. The memory is there before the bot is
stopped: to get it page by page would take as long as to fill it.
"""

import mmap

from supervisor.session import files

_MAX_BYTES = 32 << 20


class Tray:
    """Room for about `size_bytes`, and never for more than 32 MiB."""

    def __init__(self, size_bytes: int) -> None:
        # What was small a moment ago may have grown.
        room = min(size_bytes + size_bytes // 4 + (1 << 20), _MAX_BYTES)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
        self._left = memoryview(mmap.mmap(-1, room, flags=flags))

    def take(self, fd: int, size: int) -> memoryview | None:
        """Return the first `size` bytes of a file, fewer if it ends; None if there is no room.

        Raises: OSError.
        """
        if size > len(self._left):
            return None
        taken, self._left = self._left[:size], self._left[size:]
        return taken[: files.fill(fd, taken, 0)].toreadonly()
