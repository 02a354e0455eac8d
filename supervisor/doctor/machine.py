"""The machine: its Python, its disks, its clock."""

import os
from datetime import UTC, datetime, timedelta

from supervisor.doctor.findings import Finding, Findings, line
from supervisor.doctor.ground import Ground
from supervisor.session.model import since_1970

# As pyproject.toml has it.
OLDEST, NEWEST = (3, 11), (3, 13)
_MIB = 1 << 20
_LEAST_BYTES, _LEAST_INODES = 64 * _MIB, 500
# What two clocks may be apart, and what a timer that fires late looks like.
_SLACK_S = 120.0
_JUMP_S = 60.0
# Before this was written, no clock can be right.
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


def python(ground: Ground) -> Findings:
    """A Python that this was not made for."""
    version = ground.world.python
    if not OLDEST <= version[:2] <= NEWEST:
        made_for = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
        yield Finding(
            severity="problem",
            seen=f"it runs on Python {'.'.join(map(str, version))}",
            cause=f"stillhere is made for Python {made_for}",
            fix="install it into an environment of one of these",
            commands=("pipx install --force --python python3.13 stillhere",),
        )


def disk(ground: Ground) -> Findings:
    """No room, or no inodes, where sessions, snapshots or the state are written."""
    seen: set[int] = set()
    for place in ground.places():
        there = ground.nearest(place.path)
        status = there.stat()
        if status.st_dev in seen:
            continue
        seen.add(status.st_dev)
        room = os.statvfs(there)
        free, size_bytes = room.f_bavail * room.f_frsize, ground.session_bytes
        least = max(_LEAST_BYTES, 2 * size_bytes)
        few = room.f_files > 0 and room.f_favail < _LEAST_INODES
        if free >= least and not few:
            continue
        left = f"{room.f_favail} inodes" if few and free >= least else f"{free / _MIB:.0f} MB"
        yield Finding(
            severity="problem",
            seen=f"{left} left on the disk of {place.what} ({there})",
            cause="a snapshot or a restore that finds no room fails, and without a snapshot"
            " no changed bot is restarted",
            fix=f"make room: {least / _MIB:.0f} MB at least; the first tells what is large, the"
            " others remove snapshots that no rule keeps",
            commands=(
                f"du -xh -d 2 {line(there)} | sort -h | tail",
                *(ground.command("session", "prune", each) for each in ground.ids),
            ),
        )


def clock(ground: Ground) -> Findings:
    """A clock that is wrong now, or was when something was written down."""
    now = ground.world.now()
    if now < _EPOCH:
        yield Finding(
            severity="problem",
            seen=f"the clock says {_shown(now)}",
            cause="it was never set since this machine started",
            fix="set it",
            commands=("sudo timedatectl set-ntp true",),
        )
    for bot in ground.bots:
        newest = ground.newest(bot)
        if newest is not None and since_1970(newest.taken_at) > now + _SLACK_S:
            yield Finding(
                severity="problem",
                bot=bot.name,
                seen=f"the newest snapshot is of {newest.taken_at}, and it is {_shown(now)}",
                cause="the clock was wrong when it was taken, or is wrong now; snapshots are"
                " restored by their number, so nothing is lost",
                fix="see whether the clock is right; the next snapshot of what has changed has the"
                " right time",
                commands=("timedatectl", ground.command("session", "backup", str(bot.session))),
            )
    if back := _jumped(ground, now):
        yield back


def _jumped(ground: Ground, now: float) -> Finding | None:
    """Return what is to be said of the last time when the clock went back."""
    last, found = 0.0, None
    for record in ground.events:
        at = since_1970(str(record["t"]))
        if last - at > _JUMP_S and now - at < timedelta(days=1).total_seconds():
            found = Finding(
                severity="note",
                seen=f"the clock went back by {last - at:.0f} s, at {record['t']}",
                cause="it was set; what is kept, and what is restored, goes by numbers",
                fix="if it happens again, see who sets it",
                commands=("timedatectl timesync-status",),
            )
        last = at
    return found


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
