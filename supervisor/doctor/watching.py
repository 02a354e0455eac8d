"""What is watched: can the kernel tell of all saves, and does the bot not write there itself."""

import contextlib
import os
import re
import threading
from pathlib import Path
from typing import NamedTuple

from supervisor.config import BotConfig
from supervisor.doctor.findings import CannotTell, Finding, Findings, line
from supervisor.doctor.ground import Ground
from supervisor.doctor.life import edited
from supervisor.presets import source
from supervisor.session.proof.profile import KNOWN
from supervisor.watch.fingerprints import Cancelled

# So long a tree of source is walked.
WALK_S = 1.0
WATCHES, INSTANCES = 524_288, 1_024
# Our own watch, and what an editor or a test beside it may want.
_SPARE_WATCHES, _SPARE_INSTANCES = 64, 2
# By the names of these a folder may hold a session: only there is looked closer.
_SIGNS = (".db", ".sqlite", ".sqlite3", ".session", "creds.json", "Local State", "Preferences")
_CHANGES, _AGAIN = 6, 3
_NAMED_MAX = 5


def alarm() -> threading.Event:
    """Return what is set after WALK_S."""
    event = threading.Event()
    timer = threading.Timer(WALK_S, event.set)
    timer.daemon = True
    timer.start()
    return event


class _Limit(NamedTuple):
    """A limit of the kernel's, the setting that has it, and how much of it is used."""

    setting: str
    most: int
    used: int


def inotify_watches(ground: Ground) -> Findings:
    """Too few watches for the folders that are watched, beside what others watch."""
    limit = _limit(ground, "watches")
    wanted = 0 if ground.running else _folders(ground) + _SPARE_WATCHES
    if limit.used + wanted <= limit.most:
        return
    yield _raise_it(limit, WATCHES, f"{wanted} more are wanted" if wanted else "none is left")


def inotify_instances(ground: Ground) -> Findings:
    """Too few watchers for this user."""
    limit = _limit(ground, "instances")
    if limit.used + (0 if ground.running else _SPARE_INSTANCES) > limit.most:
        yield _raise_it(limit, INSTANCES, "there is none left for us")


def _raise_it(limit: _Limit, enough: int, why: str) -> Finding:
    enough = max(enough, 2 * limit.most)
    return Finding(
        severity="problem",
        seen=f"{limit.setting} is {limit.most}, and {limit.used} are used: {why}",
        cause="the kernel tells of no more saves: they are seen late, by looking every 0.5 s",
        fix="raise the limit; to keep it, put the same setting into /etc/sysctl.d/",
        commands=(f"sudo sysctl {limit.setting}={enough}",),
    )


def _limit(ground: Ground, what: str) -> _Limit:
    """Return the limit that counts, which may be a namespace's. Raises: CannotTell."""
    found: list[tuple[int, str]] = []
    for setting in (f"fs.inotify.max_user_{what}", f"user.max_inotify_{what}"):
        path = ground.world.proc / "sys" / setting.replace(".", "/")
        with contextlib.suppress(OSError, ValueError):
            found.append((int(path.read_text()), setting))
    if not found:
        raise CannotTell(f"{ground.world.proc}/sys tells no limit of inotify {what}")
    most, setting = min(found)
    instances, watches = ground.world.inotify.get(ground.who, (0, 0))
    return _Limit(setting, most, instances if what == "instances" else watches)


def _folders(ground: Ground) -> int:
    """Return how many folders are to be watched. Raises: CannotTell for more than can be seen."""
    until = alarm()
    try:
        # Several bots may watch one folder, which takes one watch.
        return len({each for bot in ground.bots for each in ground.tree(bot).scan(until).folders})
    except Cancelled:
        raise CannotTell(f"there are more folders than can be counted in {WALK_S:g} s") from None


def watching(ground: Ground, bot: BotConfig) -> Findings:
    """Nothing there that could be watched, or a supervisor that sees saves late."""
    for root in bot.watch:
        if not root.exists():
            yield Finding(
                severity="problem",
                seen=f"{root} is watched, and does not exist",
                cause="`watch` names it, relative to the config: a save elsewhere restarts nothing",
                fix="name what is there",
                commands=(line("ls", ground.path.parent),),
            )
    degraded = None
    for record in ground.events:
        if record["event"] == "supervisor_started":
            degraded = None
        elif record["event"] == "watch_degraded" and record.get("bot") == bot.name:
            degraded = record
    if degraded is not None and ground.running:
        why = str(degraded.get("why"))
        raising = re.search(r"sudo sysctl [\w.]+=\d+", why)
        yield Finding(
            severity="problem",
            seen=f"the supervisor sees saves late: {why}",
            cause="the kernel does not tell it of them",
            fix="do what it says; then start the supervisor anew",
            commands=(raising[0],) if raising else (ground.command("events", bot.name),),
        )


def watched(ground: Ground, bot: BotConfig) -> Findings:
    """What a bot writes by itself lies among what is watched, so that each write restarts it."""
    tree = ground.tree(bot)
    try:
        scan = tree.scan(alarm())
    except Cancelled:
        raise CannotTell("there are more files than can be looked at in a second") from None
    likely = [path for path in sorted(scan.files) if path.endswith(_SIGNS)]
    folders = {path.rpartition("/")[0] for path in likely}
    sessions = {folder for folder in folders if _is_session(Path(folder))}
    # A folder of its own is ignored as a whole; where source lies beside it, file by file.
    found = [
        path if path.rpartition("/")[0] in tree.roots else path.rpartition("/")[0]
        for path in likely
        if path.rpartition("/")[0] in sessions
    ]
    again = [path for path in _restarted_by(ground, bot) if tree.interesting(path)]
    names = [os.path.relpath(path, tree.base) for path in dict.fromkeys((*found, *again))]
    if names:
        more = f", and {len(names) - _NAMED_MAX} more" if names[_NAMED_MAX:] else ""
        yield Finding(
            severity="problem",
            seen=f"watched, and written by the bot itself: {', '.join(names[:_NAMED_MAX])}{more}",
            cause="each write looks like changed source, and restarts the bot: in the midst of a"
            " scan, too",
            fix="have it ignored; if it is the session: say so, by session_path",
            edit=edited(bot, "ignore", [*bot.ignore, *names]),
        )


def _is_session(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(kind.fits(folder) for kind in KNOWN.values())
    return False


def _restarted_by(ground: Ground, bot: BotConfig) -> list[str]:
    """Return what is no source, and was the only change of several of the last restarts."""
    changes = [r for r in ground.events_of(bot) if r["event"] == "changed"][-_CHANGES:]
    told = (r.get("paths") for r in changes)
    alone = [str(paths[0]) for paths in told if isinstance(paths, list) and len(paths) == 1]
    data = {path for path in alone if not path.endswith(source.SUFFIXES)}
    root = ground.settled.root
    return sorted(str(root / path) for path in data if alone.count(path) >= _AGAIN)
