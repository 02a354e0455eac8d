"""What a service stands on: its control socket, and its unit."""

import errno
import fcntl
import os
import pwd
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from supervisor.control import paths
from supervisor.core.errors import SupervisorError
from supervisor.doctor.findings import Finding, Findings, Mend, line
from supervisor.doctor.ground import Ground
from supervisor.doctor.world import SYSTEM_UNITS, own_units
from supervisor.service.systemd import place as places
from supervisor.service.systemd import unit as units

_UNIT_BYTES = 256 << 10
_SYSTEMCTL_S = 2.0


def control(ground: Ground) -> Findings:
    """A supervisor that does not answer, or the socket of one that is dead."""
    if ground.silent is not None:
        command = re.search(r"kill (?:-CONT )?\d+", ground.silent.hint)
        yield Finding(
            severity="problem",
            seen=ground.silent.message,
            cause="it was suspended (Ctrl-Z, SIGSTOP), or hangs",
            fix=ground.silent.hint or "try again",
            commands=(command[0],) if command else (),
        )
        return
    for path in _stale(ground.path):
        fix = line("rm", path)
        yield Finding(
            severity="note",
            seen=f"nobody listens at {path}",
            cause="a supervisor was killed, and left its socket; the next one replaces it",
            fix="remove it, or leave it",
            commands=(fix,),
            mend=Mend(fix, partial(_remove, path)),
        )


def _stale(config: Path) -> Iterator[Path]:
    for path in paths.candidates(config):
        if paths.trusted(path.parent) and _is_stale(path):
            yield path


def _is_stale(path: Path) -> bool:
    """Return whether a socket is there at which nobody listens, nor is about to."""
    with suppress(OSError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # noqa: FBT003 - the socket module's signature
            found = probe.connect_ex(os.fspath(path))
        return found == errno.ECONNREFUSED and not _is_locked(path.with_suffix(".lock"))
    return False


def _is_locked(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _remove(path: Path) -> None:
    """Remove a socket, if it is still a dead one's. Raises: OSError."""
    if _is_stale(path):
        path.unlink()


def unit(ground: Ground) -> Findings:
    """A unit that would be another now, that systemd has not read, or that failed."""
    if ground.config is None or not ground.written:
        return
    for path, manager in _units(ground):
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            found = file.read(_UNIT_BYTES)
        old = units.outdated(found, ground.config)
        if why := old or _differs(ground, path, found, manager=manager):
            yield Finding(
                # It may be that only who asks has another environment than who wrote it.
                severity="problem" if old else "note",
                seen=f"{path} is out of date: {why}",
                cause="it is written once; the service goes on with the paths, the timeouts and the"
                " sandbox of then",
                fix="write it anew; what you changed by hand belongs into `systemctl edit`",
                commands=_write_anew(ground, path, found, manager=manager),
            )
        elif path.parent in (SYSTEM_UNITS, ground.world.units[-1]):
            yield from _as_systemd_sees_it(path, manager=manager)


def _units(ground: Ground) -> Iterator[tuple[Path, bool]]:
    """Yield the units of this config, and whether they are of a user's own manager."""
    usual = f"{places.unit_name(ground.path.parent)}.service"
    for at, folder in enumerate(ground.world.units):
        for path in sorted(folder.glob("*.service")):
            with suppress(OSError):
                with path.open(encoding="utf-8", errors="replace") as file:
                    text = file.read(_UNIT_BYTES)
                ours = text.startswith(units.MARK) or path.name == usual
                if ours and f"--config {ground.path} " in text.replace('"', "") + " ":
                    yield path, at > 0


def _differs(ground: Ground, path: Path, found: str, *, manager: bool) -> str:
    """Say what a unit would have today; "" if it has all of that. Raises: SupervisorError."""
    config = ground.settled
    user = pwd.getpwuid(os.getuid()).pw_name if manager else _user(found)
    place = places.look(config, name=path.stem, user=user, manager=manager)
    now, then = (
        [each for each in text.splitlines() if not each.startswith(units.MARK)]
        for text in (units.text(config, place), found)
    )
    more, less = set(now) - set(then), set(then) - set(now)
    if more:
        return f"today it would have: {min(more, key=now.index)}"
    return f"today it would not have: {min(less, key=then.index)}" if less else ""


def _user(found: str) -> str:
    match = re.search(r"^User=(.+)$", found, re.MULTILINE)
    return match[1] if match else ""


def _write_anew(ground: Ground, path: Path, found: str, *, manager: bool) -> tuple[str, ...]:
    words = ["systemd", "install"]
    words += ["--user"] * manager
    if path.stem != places.unit_name(ground.path.parent):
        words += ["--name", path.stem]
    user = _user(found)
    with suppress(SupervisorError, OSError):
        if not manager and user and user != places.owner(ground.path):
            words += ["--as", user]
    if not units.ours(found):
        words.append("--force")
    if path.parent not in (SYSTEM_UNITS, own_units()):
        words += ["--into", str(path.parent)]
    sudo = "" if manager else "sudo "
    control = "systemctl --user" if manager else "sudo systemctl"
    return (
        sudo + ground.command(*words),
        f"{control} daemon-reload && {control} restart {line(path.stem)}",
    )


def _as_systemd_sees_it(path: Path, *, manager: bool) -> Findings:
    control = "systemctl --user" if manager else "sudo systemctl"
    facts = _facts(path.name, manager=manager)
    if facts.get("NeedDaemonReload") == "yes":
        yield Finding(
            severity="problem",
            seen=f"{path} was changed, and systemd has not read it",
            cause="it reads a unit again only when it is told",
            fix="have it read",
            commands=(f"{control} daemon-reload && {control} restart {line(path.stem)}",),
        )
    if facts.get("ActiveState") == "failed":
        yield Finding(
            severity="problem",
            seen=f"the service {path.stem} has failed: {facts.get('Result')}",
            cause="its journal tells",
            fix="mend what it says, then start it",
            commands=(
                f"journalctl {'--user ' * manager}-u {line(path.stem)} -n 30",
                f"{control} restart {line(path.stem)}",
            ),
        )
    if facts.get("UnitFileState") == "disabled":
        yield Finding(
            severity="note",
            seen=f"the service {path.stem} does not start with the machine",
            cause="it is not enabled",
            fix="enable it",
            commands=(f"{control} enable --now {line(path.stem)}",),
        )


def _facts(name: str, *, manager: bool) -> dict[str, str]:
    """Return what systemd says of a unit; nothing where it can't be asked."""
    asked = "NeedDaemonReload,ActiveState,Result,UnitFileState"
    words = ["systemctl", *(["--user"] if manager else []), "show", name, f"--property={asked}"]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_SYSTEMCTL_S, check=False
        )
        if done.returncode == 0:
            return dict(each.split("=", 1) for each in done.stdout.splitlines() if "=" in each)
    return {}
