"""How one generation is started, and how a spare is. Decided elsewhere; `Child` does it."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supervisor.process.user import User
from supervisor.session.lock import OwnerLock


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a spare loads before its program begins, and the names that this may not ask for.

    `own`: modules of the project that it may load, from the folder `first` if that is not "".
    """

    modules: tuple[str, ...] = ()
    own_names: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    first: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to start one generation.

    `lock_fd` is inherited: the generation's byte of `lock`, which is free once all of it is gone.
    `paused`: what a spare loads ahead; then it is generation 0 until it is released.
    `user`: who runs it, if that is not us.
    """

    generation: int
    token_prefix: str
    command: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    session_id: str
    session_dir: Path | None  # None: it stands by, and is told later
    notify: bool
    can_stand_by: bool = True
    socket_dir: Path
    lock: OwnerLock | None = None
    lock_fd: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    terminal: bool = False
    stdin: bool = False
    paused: Ahead | None = None
    user: User | None = None

    @property
    def uid(self) -> int | None:
        """Whose its processes are, if not ours."""
        return None if self.user is None else self.user.ids.uid
