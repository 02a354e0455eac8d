"""Runs a short program to its end, cold and from a spare, with nothing of ours around it."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

from supervisor.process import spare
from supervisor.process.plan import Ahead
from supervisor.watch import preloading

PATIENCE_S = 15.0
SPOILED = 77
NOTHING = Ahead()
Ended = tuple[int, str, str]  # status, standard output, standard error


def pythons() -> list[object]:
    """Return the versions that we promise, skipped where this machine lacks them."""
    found: list[object] = []
    for version in ("3.11", "3.12", "3.13"):
        own = f"{sys.version_info[0]}.{sys.version_info[1]}" == version
        path = sys.executable if own else shutil.which(f"python{version}")
        works = path is not None and not subprocess.run([path, "-c", ""], check=False).returncode
        why = f"python{version} is not on PATH; with it there, this runs"
        marks = () if works else (pytest.mark.skip(reason=why),)
        found.append(pytest.param(path, marks=marks, id=version))
    return found


def plain_environment() -> dict[str, str]:
    """Return as little as a program can run with, and one of the generation's variables."""
    home = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "STILLHERE_GENERATION": "3"}
    return home | {"PYTHONDONTWRITEBYTECODE": "1"}


def cold(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Ended:
    """Run it as it is, and return how it ended."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return done.returncode, _text(done.stdout), _text(done.stderr)


def paused(
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    ahead: Ahead = NOTHING,
    meanwhile: Callable[[], Sequence[str]] = tuple,
) -> tuple[str, Ended]:
    """Pause it, release it once it waits, and return what it said and how it ended.

    `meanwhile`: what happens while it waits; returns what it is to forget.
    """
    ours, theirs = socket.socketpair()
    before = {**env, "STILLHERE_GENERATION": "0"}
    with ours:
        ours.settimeout(PATIENCE_S)
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=spare.environment(before, theirs.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        ours.sendall(spare.lists(ahead))
        said = ours.recv(4096).decode().strip()
        if said.startswith("paused"):
            ours.sendall(spare.message(meanwhile()))
            ours.sendall(spare.message([f"STILLHERE_GENERATION={env['STILLHERE_GENERATION']}"]))
    out, err = child.communicate(timeout=PATIENCE_S)
    return said, (child.returncode, _text(out), _text(err))


def same(
    command: Sequence[str], folder: Path, env: Mapping[str, str], ahead: Ahead = NOTHING
) -> Ended:
    """See that both ways lead to the same; return it."""
    said, released = paused(command, folder, env, ahead)
    assert said.startswith("paused"), (said, released)
    expected = cold(command, folder, env)
    assert released == expected
    return released


def both(
    folder: Path,
    command: list[str],
    meanwhile: Callable[[], object],
    *,
    loaded: Collection[str] | None = None,
) -> tuple[Ended, Ended, preloading.Standing]:
    """Run it cold and from a spare with all that may be loaded ahead, and changed `meanwhile`.

    `loaded`: what of the project must have been, beside a package that is run. A spare that stands
    for nothing any more counts as what it leads to: a cold start.
    """
    env = plain_environment()
    planned = preloading.plan(command, cwd=folder, env=env)
    ahead = Ahead(planned.modules, planned.own_names, tuple(planned.own), planned.first)
    assert loaded is None or set(planned.own) - {"main"} == set(loaded), planned.stopped
    found = preloading.Standing()

    def then() -> tuple[str, ...]:
        nonlocal found
        meanwhile()
        found = preloading.standing(planned)
        return found.own

    said, released = paused(command, folder, env, ahead, then)
    expected = cold(command, folder, env)
    if loaded is None and not said.startswith("paused"):
        found = preloading.Standing(said)
    else:
        assert said.startswith("paused"), (said, released)
    return expected, expected if found.why else released, found


def _text(data: bytes) -> str:
    return re.sub(r" at 0x\w+", "", data.decode("utf-8", "surrogateescape"))
