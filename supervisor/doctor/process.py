"""Other processes: who else runs the bot or has its session, who else would restart it."""

import json
import os
import pwd
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.config import BotConfig, resolved_command
from supervisor.doctor import wrapped
from supervisor.doctor.findings import CannotTell, Finding, Findings, line
from supervisor.doctor.ground import Ground
from supervisor.doctor.life import edited
from supervisor.process.tree import Stat, lock_holders, with_descendants
from supervisor.session.copying.writers import writers
from supervisor.session.lock import OwnerLock
from supervisor.watch.rivals import rival

_LOCK_BYTES = 4096
_DUMP_BYTES = 8 << 20
_UNIT_BYTES = 64 << 10
_NAMED_MAX = 5


def copies(ground: Ground, bot: BotConfig) -> Findings:
    """Another process that writes the session, or is the same bot in the same folder."""
    found = dict.fromkeys(_same(ground, bot), "runs the same command in the same folder")
    for pid in _writers(ground, bot):
        found.setdefault(pid, "writes its session")
    orphans = set(_orphans(ground, bot))
    others = [pid for pid in sorted(found) if pid not in orphans and _is_other(ground, pid)]
    if not others or (not ground.running and _alone(others)):
        return
    yield Finding(
        severity="problem",
        seen="; ".join(f"pid {pid} {found[pid]}{_by(pid)}" for pid in others[:_NAMED_MAX]),
        cause="two copies of one device: the network throws one out, or both lose messages, and"
        " each writes over the other's session",
        fix="end what started it, if that would start it again; then end it",
        commands=tuple(line("kill", str(pid)) for pid in others[:_NAMED_MAX]),
    )


def _writers(ground: Ground, bot: BotConfig) -> Iterator[int]:
    """Yield who has a file of the bot's session open to write."""
    if bot.session is None:
        return
    manager = ground.manager(bot)
    folder = manager.folder(bot.session)
    if folder.is_relative_to(ground.sessions) and not ground.sessions_in_use:
        return  # one look through /proc is enough for all of them
    yield from writers(folder, manager.names(bot.session))


def _alone(pids: list[int]) -> bool:
    """Return whether they are one tree: a bot that somebody runs by hand."""
    return sum(_parent(pid) not in pids for pid in pids) == 1


def _is_other(ground: Ground, pid: int) -> bool:
    """Return whether it lives, and is neither the supervisor's nor us.

    Asked from below, now: a bot may have been restarted since it was found.
    """
    above = pid
    while above > 1:
        if above == ground.pid or pid == os.getpid():
            return False
        above = _parent(above)
    return Path(f"/proc/{pid}").exists()


def _same(ground: Ground, bot: BotConfig) -> Iterator[int]:
    """Yield who runs this bot's command in its folder, and is not below another that does."""
    command = resolved_command(bot, ground.settled.root)
    words = [wrapped.name(command[0]), *command[1:]]
    if ground.bots and not command[1:] and "/" not in bot.command[0]:
        return  # a bare program's name says nothing
    found = set()
    folder = os.path.realpath(bot.cwd)
    for process in ground.world.by_folder.get(folder, ()):
        with suppress(OSError):
            given = _command_line(process)
            if given[1:] == words[1:] and _alike(wrapped.name(given[0]), words[0]):
                found.add(int(process.rpartition("/")[2]))
    yield from (pid for pid in sorted(found) if _parent(pid) not in found)


def _command_line(process: str) -> list[str]:
    """Return the words that a process was started with. Raises: OSError."""
    data = Path(f"{process}/cmdline").read_bytes().rstrip(b"\0")
    return [os.fsdecode(word) for word in data.split(b"\0")]


def _alike(one: str, other: str) -> bool:
    """Return whether these are names of one program: python3.11 is python."""
    return re.sub(r"[\d.]+$", "", one) == re.sub(r"[\d.]+$", "", other)


def _parent(pid: int) -> int:
    try:
        return Stat(pid).parent
    except ProcessLookupError:
        return 0


def _by(pid: int) -> str:
    """Return who started a process, if that is somebody who would do it again."""
    above, told = pid, ""
    while above > 1 and not told:
        with suppress(OSError):
            text = _command_line(f"/proc/{above}")
            if text[0].startswith("PM2"):
                told = f", under pm2 (pid {above})"
            elif above != pid and (who := wrapped.restarter(tuple(text))):
                told = f", under {who} (pid {above})"
        above = _parent(above)
    return told or _unit_of(pid)


def _watcher_above(pid: int) -> str:
    """Return who of the processes above starts it anew at each save; "" if none does."""
    while (pid := _parent(pid)) > 1:
        with suppress(OSError):
            who = wrapped.restarter(tuple(_command_line(f"/proc/{pid}")))
            if who and not who.startswith(("pm2", "forever", "supervisord")):
                return who
    return ""


def _unit_of(pid: int) -> str:
    with suppress(OSError):
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        for group in groups:
            unit = group.rpartition("/")[2]
            if unit.endswith(".service") and not unit.startswith(("user@", "stillhere")):
                return f", under systemd ({unit})"
    return ""


def _lock(ground: Ground, bot: BotConfig) -> OwnerLock | None:
    """Return the lock of a session, if it was ever taken: to look only."""
    lock = ground.manager(bot).lock_for(str(bot.session)) if bot.session else None
    return lock if lock is not None and lock.path.exists() else None


def _orphans(ground: Ground, bot: BotConfig) -> list[int]:
    """Return the processes of an earlier supervisor's generation, whose supervisor is gone."""
    lock = _lock(ground, bot)
    if lock is None or ground.running or not lock.free(0):
        return []
    held = lock.survivors()
    return with_descendants(lock_holders(lock.path, held)) if held else []


def orphans(ground: Ground, bot: BotConfig) -> Findings:
    """A bot that runs on though its supervisor is gone."""
    found = _orphans(ground, bot)
    if found:
        pids = ", ".join(map(str, found[:_NAMED_MAX]))
        yield Finding(
            severity="problem",
            seen=f"it still runs (pid {pids}), and its supervisor is gone",
            cause="the supervisor was killed: by hand, or for want of memory (dmesg tells)",
            fix="start the supervisor, which ends it first; or end it",
            commands=tuple(line("kill", str(pid)) for pid in found[:_NAMED_MAX]),
        )


def owner(ground: Ground, bot: BotConfig) -> Findings:
    """Another supervisor, by another config, that has the same session."""
    lock = _lock(ground, bot)
    if lock is None or ground.running or ground.silent or lock.free(0):
        return
    pid: Any = None
    with suppress(OSError, ValueError, RecursionError):
        with lock.path.open("rb") as file:
            body = json.loads(file.read(_LOCK_BYTES))
        pid = body.get("pid") if isinstance(body, dict) else None
    if not isinstance(pid, int):
        raise CannotTell("a process owns its session, and does not say which")
    yield _owned_by(ground, pid)


def _owned_by(ground: Ground, pid: int) -> Finding:
    """Return what is to be said of another owner, who may only be another user's."""
    program, user = "a program that has ended since", ""
    with suppress(OSError, KeyError):  # not its arguments: there may be a secret among them
        program = wrapped.name(_command_line(f"/proc/{pid}")[0])
        uid = Path(f"/proc/{pid}").stat().st_uid
        user = "" if uid == os.geteuid() else pwd.getpwuid(uid).pw_name
    look = ground.command("status")
    return Finding(
        severity="problem",
        seen=f"pid {pid} ({program}) owns its session, and no supervisor answers here",
        cause=f"a supervisor of {user} runs it, which does not answer to you"
        if user
        else "two configs, or a copy of this one, name the same session; only one may run it",
        fix="ask as that user" if user else "let the other one do the work, or stop it",
        commands=(f"sudo -u {line(user)} {look}" if user else line("kill", str(pid)),),
    )


def beside(ground: Ground, bot: BotConfig) -> Findings:
    """Somebody else who restarts the bot: nodemon, pm2, `node --watch`, a unit of systemd."""
    words = bot.command
    if wrapped.wrapper(words):
        words = wrapped.unwrapped(words, bot.cwd) or words
    known = wrapped.restarter(words)
    if who := known or rival(bot.command, bot.cwd):
        inner = wrapped.without_restarter(words) if known else ()
        yield Finding(
            severity="problem",
            seen=f"its command has {who} restart it",
            cause=f"two would restart it: {who} does so at every save, with no copy of the session"
            " and no wait for the old one's end",
            fix="start the program itself" + ("" if inner else f", without {who}"),
            edit=edited(bot, "command", list(inner)) if inner else "",
        )
    if ground.pid is not None and (who := _watcher_above(ground.pid)):
        yield Finding(
            severity="problem",
            seen=f"{who} restarts the supervisor itself (pid {ground.pid})",
            cause="each save stops and starts all bots, where the supervisor would restart one",
            fix=f"start stillhere without {who}",
            commands=(ground.command("dev"),),
        )
    for name in _in_pm2(ground, bot):
        yield Finding(
            severity="problem",
            seen=f"pm2 starts it, too, as {name}",
            cause="it is in pm2's list, so a second copy runs, or will after the next boot",
            fix="take it out of that list",
            commands=(f"{line('pm2', 'delete', name)} && pm2 save --force",),
        )
    for path, live in _in_units(ground, bot):
        yield Finding(
            severity="problem" if live else "note",
            seen=f"{path} runs something in its folder{'' if live else ', and is not enabled'}",
            cause="a service that is not stillhere's would be a second copy of the bot",
            fix="stop and disable it, if it is the bot's",
            commands=(line("sudo", "systemctl", "disable", "--now", path.stem),)
            if path.parent == ground.world.units[0]
            else (line("systemctl", "--user", "disable", "--now", path.stem),),
        )


def _in_pm2(ground: Ground, bot: BotConfig) -> Iterator[str]:
    """Yield by which names pm2 keeps something in the bot's folder."""
    dump = ground.world.home / ".pm2" / "dump.pm2"
    listed: Any = None
    with suppress(OSError, ValueError, RecursionError):
        if dump.stat().st_size <= _DUMP_BYTES:
            listed = json.loads(dump.read_bytes())
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict):
            places = (each.get("pm_cwd"), each.get("pm_exec_path"))
            if any(
                isinstance(place, str) and Path(place).is_relative_to(bot.cwd) for place in places
            ):
                yield str(each.get("name") or each.get("pm_exec_path"))


def _in_units(ground: Ground, bot: BotConfig) -> Iterator[tuple[Path, bool]]:
    """Yield others' units that start something in the bot's folder, and if they are enabled."""
    started = re.compile(
        rf"^(?:WorkingDirectory|ExecStart)=.*{re.escape(str(bot.cwd))}(?:/|\s|$)", re.MULTILINE
    )
    for folder in ground.world.units:
        for path in sorted(folder.glob("*.service")):
            with suppress(OSError):
                with path.open(encoding="utf-8", errors="replace") as file:
                    text = file.read(_UNIT_BYTES)
                ours = "stillhere" in text or "-m supervisor" in text
                if not ours and started.search(text):
                    yield path, any(folder.glob(f"*.wants/{path.name}"))
