"""Who may write what has to be written, who may read what is a secret, and what git would take."""

import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from supervisor.config import BotConfig
from supervisor.doctor.findings import CannotTell, Finding, Findings, Mend, line
from supervisor.doctor.ground import Ground

_ENTRIES_MAX = 5_000
_GIT_S = 2.0
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL", re.IGNORECASE)


class _Who(NamedTuple):
    """Who has to get at something. `guessed`: by whose the project is."""

    uid: int
    guessed: bool = False

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @property
    def groups(self) -> set[int]:
        try:
            found = pwd.getpwuid(self.uid)
        except KeyError:
            return set()
        return set(os.getgrouplist(found.pw_name, found.pw_gid))

    @property
    def owner(self) -> str:
        try:
            return f"{self.uid}:{pwd.getpwuid(self.uid).pw_gid}"
        except KeyError:
            return str(self.uid)


def _runs(ground: Ground, bot: BotConfig | None = None) -> _Who:
    """Return who runs the supervisor, or a bot."""
    if bot is not None and bot.user:
        return _Who(pwd.getpwnam(bot.user).pw_uid)
    if ground.who or ground.running:
        return _Who(ground.who)
    return _Who(ground.path.parent.stat().st_uid, guessed=True)


def access(ground: Ground) -> Findings:
    """Something that who runs it may not read or write: after a start by sudo, say."""
    places = [(bot, path) for bot, path in _written(ground) if os.path.lexists(path)]
    if _runs(ground).guessed and all(_is_roots(path) for _, path in places):
        return  # a container, say, where root runs what belongs to somebody outside
    for bot, path in places:
        who = _runs(ground, bot)
        barred = [each for each in _entries(path) if not _may(each, who)]
        if not barred:
            continue
        first, more = barred[0], f", and {len(barred) - 1} more" if barred[1:] else ""
        foreign = any(each.lstat().st_uid != who.uid for each in barred)
        yield Finding(
            severity="problem",
            bot=bot.name if bot else None,
            seen=f"{who.name} may not read and write {first}{more}",
            cause="it belongs to another user: was it made by sudo, or by a container?"
            if foreign
            else "its mode forbids it, or its disk is mounted to be read only",
            fix="give it to who runs the bots" if foreign else "give its owner the right",
            commands=(
                line("sudo", "chown", "-hR", who.owner, path)
                if foreign
                else line("chmod", "-R", "u+rwX", path),
            ),
        )


def _written(ground: Ground) -> Iterator[tuple[BotConfig | None, Path]]:
    """Yield what has to be read and written, and by which bot."""
    if (config := ground.config) is None:
        return
    for bot in ground.bots:
        if bot.session is not None:
            for path in _session_of(ground, bot):
                yield bot, path
    yield None, config.snapshots
    yield None, config.state


def _session_of(ground: Ground, bot: BotConfig) -> list[Path]:
    """Return the session's folder; of one among other files those that are there."""
    folder = ground.settled.session_dir(bot)
    if not bot.session_files:
        return [folder]
    names = {path.split("/")[0] for path in ground.live(bot).seen}
    return [folder / name for name in sorted(names)]


def _entries(path: Path) -> Iterator[Path]:
    """Yield a path and all below it, some thousands at most."""
    yield path
    count = 0
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            count += 1
            if count > _ENTRIES_MAX:
                return
            yield Path(folder, name)


def _is_roots(path: Path) -> bool:
    return not any(each.lstat().st_uid for each in _entries(path))


def _may(path: Path, who: _Who) -> bool:
    """Return whether somebody may read it, and write it where they have to."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return True
    folder = stat.S_ISDIR(found.st_mode)
    # A bot may make a file of its own that it does not write again.
    wanted = 0o7 if folder else 0o4 if found.st_uid == who.uid else 0o6
    if who.uid == os.geteuid():
        return os.access(path, wanted, effective_ids=True)
    if found.st_uid == who.uid:
        has = found.st_mode >> 6
    elif found.st_gid in who.groups:
        has = found.st_mode >> 3
    else:
        has = found.st_mode
    return who.uid == 0 or has & wanted == wanted


def private(ground: Ground) -> Findings:
    """A session, a snapshot or a secret that other users may read."""
    for bot, path in _secret(ground):
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077 and _is_reached(path):
            fix = line("chmod", "-R", "go-rwx", path)
            yield Finding(
                severity="problem",
                bot=bot.name if bot else None,
                seen=f"other users may look into {path} (mode {mode:04o})",
                cause="whoever reads a session, or a token, can be the bot; a umask let them",
                fix="take it back from group and others"
                + ("; start stillhere by `umask 077`, for its bot makes it anew" * _remade(bot)),
                commands=(fix,),
                mend=Mend(fix, partial(_take_back, path)),
            )


def _remade(bot: BotConfig | None) -> bool:
    """Return whether a bot makes its session's files itself, in a folder that is not private."""
    return bot is not None and bool(bot.session_files)


def _is_reached(path: Path) -> bool:
    """Return whether others get as far as there: a private folder above keeps all in it."""
    above = Path(os.path.realpath(path)).parents
    return all(folder.stat().st_mode & 0o011 for folder in above)


def _secret(ground: Ground) -> Iterator[tuple[BotConfig | None, Path]]:
    if (config := ground.config) is None:
        return
    for bot, path in _written(ground):
        yield bot, path
    for bot in ground.bots:
        if bot.env_file is not None:
            yield bot, bot.env_file
    told = (name for bot in ground.bots for name in bot.env if _SECRET_NAME.search(name))
    if ground.written and (config.alerts.webhook or any(told)):
        yield None, config.path


def _take_back(path: Path) -> None:
    """Take the rights of group and others. Raises: OSError."""
    for each in [path, *_entries(path)]:
        mode = each.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            each.chmod(stat.S_IMODE(mode) & ~0o077)


def committed(ground: Ground) -> Findings:
    """A session that git keeps, or would with the next `git add`."""
    root = ground.path.parent
    repository = next((each for each in (root, *root.parents) if (each / ".git").exists()), None)
    if repository is None or ground.config is None:
        return
    sessions = ground.config.sessions
    written = (path for _, path in _written(ground) if path.exists())
    paths = (sessions if path.is_relative_to(sessions) else path for path in written)
    for path in dict.fromkeys(path for path in paths if path.is_relative_to(repository)):
        if _git(repository, "ls-files", "--", str(path)):
            yield Finding(
                severity="problem",
                seen=f"git keeps {path}",
                cause="a session is a credential: who has the repository can be the bot; and a"
                " checkout puts an old one back",
                fix="take it out of the index; in the history it stays: link the device anew",
                commands=(
                    line("git", "-C", repository, "rm", "-r", "-q", "--cached", "--", path),
                    _ignoring(repository, path),
                ),
            )
        elif _git(repository, "status", "--porcelain", "--untracked-files=all", "--", str(path)):
            fix = _ignoring(repository, path)
            yield Finding(
                severity="note",
                seen=f"the next `git add` takes {path}",
                cause="it is not in .gitignore, and a session is a credential",
                fix="have git leave it out",
                commands=(fix,),
                mend=Mend(fix, partial(_ignore, repository, path)),
            )


def _pattern(repository: Path, path: Path) -> str:
    return f"/{path.relative_to(repository)}" + "/" * path.is_dir()


def _ignoring(repository: Path, path: Path) -> str:
    pattern = line("echo", _pattern(repository, path))
    return f"{pattern} >> {line(repository / '.gitignore')}"


def _ignore(repository: Path, path: Path) -> None:
    file = repository / ".gitignore"
    text = file.read_text() if file.exists() else ""
    end = "" if not text or text.endswith("\n") else "\n"
    with file.open("a") as out:
        out.write(f"{end}{_pattern(repository, path)}\n")


def _git(repository: Path, *words: str) -> str:
    """Return what git says, which changes nothing. Raises: CannotTell."""
    command = ["git", "--no-optional-locks", "-C", str(repository), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotTell(f"git can't be asked: {error}") from error
    if done.returncode:
        raise CannotTell(f"git can't be asked: {done.stderr.strip()}")
    return done.stdout
