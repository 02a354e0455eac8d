"""Who is of one generation: its tree, and who only its byte of the lock gives away."""

from collections.abc import Mapping
from contextlib import suppress

from supervisor.core.errors import SupervisorError
from supervisor.process.tree import lock_holders, members
from supervisor.session.lock import OwnerLock

_SEEN_MAX = 4096


class Kin:
    """What began with `pid` and has `token`. `seen`: the start of each that was found, by number.

    `lock`: None without a session. A generation of 0 is a spare's, which has no byte of it yet.
    """

    def __init__(
        self, pid: int, token: str, lock: OwnerLock | None, seen: Mapping[int, int]
    ) -> None:
        self.seen = dict(seen)
        self._pid = pid
        self._token = token
        self._lock = lock

    def members(self, generation: int) -> list[int]:
        """Return its live processes, parents first.

        Once its main process is dead: whoever holds the generation's byte of the lock, too.
        """
        found = members(self._pid, self._token, self.seen)
        if len(self.seen) > _SEEN_MAX:
            self.seen = {pid: self.seen[pid] for pid in found}
        if not found and self._lock is not None and not self.byte_free(generation):
            found = lock_holders(self._lock.path, [generation])
        return found

    def byte_free(self, generation: int) -> bool:
        """Return whether it is proved that nobody holds the generation's byte of the lock."""
        with suppress(SupervisorError, OSError):  # who can't look at it has no proof
            return self._lock is None or generation == 0 or self._lock.free(generation)
        return False

    def has(self, pid: int, generation: int) -> bool:
        """Return whether a process is of it, or was."""
        return pid == self._pid or pid in self.seen or pid in self.members(generation)
