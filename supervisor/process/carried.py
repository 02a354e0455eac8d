"""What of a running generation outlives the supervisor's program: plain values and descriptors.

Its process goes on while our program is replaced under the same pid (execve(2)): it stays our
child, and what is open stays open. Nothing here is written to a disk: it holds QR payloads.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reader of output: `partial` is the line that has not ended, `told` as a prompt or not.

    `skips`: the rest of that line is thrown away. `key_lines`, `wrapped`: see `Masks`.
    """

    fd: int
    stream: str
    partial: bytes = b""
    told: bool = False
    skips: bool = False
    key_lines: int = 0
    wrapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """A bot's standard input: what it has not taken yet, and what it was given."""

    fd: int
    waiting: bytes = b""
    given: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The notify socket of a generation, and what came to nothing so far."""

    fd: int
    path: str
    strangers: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a generation said that is no business of the core: see `Heard`."""

    status: str
    qr: str | None
    qr_until: float | None
    identity: str
    checkpoint_signal: int
    checkpoint_asked_usec: int
    tail: tuple[str, ...]
    payloads: tuple[bytes, ...]
    spoke: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One generation. `started`: its start in ticks since boot; with the pid, it is no other.

    `seen`: the processes of its tree so far, by number, with their starts.
    """

    generation: int
    pid: int
    started: int
    token: str
    started_at: float
    said: Said
    readers: tuple[Reading, ...] = ()
    notify: Listening | None = None
    stdin: Writing | None = None
    seen: dict[int, int]

    def descriptors(self) -> list[int]:
        """Return all that has to stay open."""
        found = [reader.fd for reader in self.readers]
        found += [] if self.notify is None else [self.notify.fd]
        return found + ([] if self.stdin is None else [self.stdin.fd])
