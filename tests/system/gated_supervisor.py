"""A real supervisor whose jobs wait at the gates that a test made, as bots/gated_bot.py does."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor.cli.main import main
from supervisor.session.manager import SessionManager
from supervisor.session.restoring import inplace, swap
from supervisor.watch import preflight


def gate(phase: str) -> None:
    """Wait if there is a gate."""
    path = Path("gates", phase)
    if path.exists():
        path.read_bytes()


def put(
    owner: object, name: str, phase: str, *, when: Callable[..., bool] = lambda **_: True
) -> None:
    """Have a job wait at the gate of a phase before it begins."""
    work = getattr(owner, name)

    @functools.wraps(work)
    def waits(*args: Any, **more: Any) -> Any:
        if when(**more):
            gate(phase)
        return work(*args, **more)

    setattr(owner, name, waits)


if __name__ == "__main__":
    put(preflight, "_judge", "preflight")
    put(SessionManager, "precapture", "snapshotting")
    put(SessionManager, "unprepared", "snapshotting")
    put(SessionManager, "capture", "sealing", when=lambda hot, **_: not hot)
    put(SessionManager, "capture", "frozen", when=lambda hot, **_: hot)
    put(SessionManager, "_examined", "auditing")
    put(SessionManager, "set_seat", "activating")
    put(swap, "_move_in", "moving-in")
    put(inplace, "_put", "placing")
    put(SessionManager, "check", "checking", when=lambda quick=False, **_: not quick)
    main()
