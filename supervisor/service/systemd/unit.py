"""The text of a systemd unit: from a configuration and the place where it runs. Pure.

What is written here is run by root: no path gets in that could become a line of its own. No secret
stands in a unit, which everybody may read: credentials are named by their files.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from blake3 import blake3

from supervisor.config import BotConfig, Config
from supervisor.core.errors import SupervisorError
from supervisor.core.limits import KILL_TIMEOUT_S, SEAL_TIMEOUT_S
from supervisor.core.version import VERSION
from supervisor.service.systemd.place import MANAGED, Place, written
from supervisor.service.systemd.sandbox import below, hidden_homes, sandbox
from supervisor.service.systemd.sweep import bound_s

MARK = "# Written by stillhere"
_HEADER = re.compile(
    rf"{re.escape(MARK)} (?P<version>\S+) for config (?P<config>[0-9a-f]{{16}}), "
    r"text (?P<text>[0-9a-f]{16})\n"
)
# Those that know how to wait longer after each failure, and that a reload has an end.
_STEPS_SINCE, _RELOAD_SINCE = 254, 253
_MARGIN_S = 15.0
_COMPANIONS_S = 3.0
_WATCHDOG_S = 30
_SHALLOW = 2  # "/" and "/srv": never given to a service as a whole


def text(config: Config, place: Place) -> str:
    """Return the unit. Raises: SupervisorError for a path that no unit can hold."""
    body = "\n\n".join(
        f"[{name}]\n" + "\n".join(f"{key}={value}" for key, value in lines)
        for name, lines in (
            ("Unit", _unit(config, place)),
            ("Service", _service(config, place)),
            ("Install", [("WantedBy", "default.target" if place.manager else "multi-user.target")]),
        )
    )
    body += "\n"
    return (
        f"{MARK} {VERSION} for config {_print_of(config)}, text {_hash(body)}\n"
        "# Your own changes: systemctl edit; this file is written anew.\n\n" + body
    )


def outdated(found: str, config: Config) -> str:
    """Say why a unit should be written anew; "" if it need not."""
    header = _HEADER.match(found)
    if header is None:
        return "it was not written by stillhere"
    if header["version"] != VERSION:
        return f"it was written by version {header['version']}, this is {VERSION}"
    if header["config"] != _print_of(config):
        return "the config has changed since it was written"
    # The hash is of all below the header's two lines and the empty one.
    if header["text"] != _hash(found.split("\n\n", 1)[-1]):
        return "it was edited by hand"
    return ""


def ours(found: str) -> bool:
    """Return whether a unit is one of ours, as it was written."""
    header = _HEADER.match(found)
    return header is not None and header["text"] == _hash(found.split("\n\n", 1)[-1])


def folders_to_make(config: Config, place: Place) -> list[Path]:
    """Return which folders have to be there before it starts, that systemd does not make."""
    _, write = _paths(config, place)
    return [path for path in write if not below(path, MANAGED)]


def stop_s(config: Config) -> float:
    """Return the longest that an orderly stop takes, in seconds: bots first, then companions."""
    bots = list(config.bots.values())
    return sum(
        max(map(_one_stop_s, group), default=0.0)
        for group in (
            [bot for bot in bots if bot.session is not None],
            [bot for bot in bots if bot.session is None],
        )
    )


def _one_stop_s(bot: BotConfig) -> float:
    freeze_s = bot.snapshots.freeze_timeout_ms / 1000
    ends_s = bot.stop_timeout_s + KILL_TIMEOUT_S
    return bot.checkpoint_timeout_s + freeze_s + ends_s + SEAL_TIMEOUT_S


def _patience_s(config: Config) -> float:
    return max(bot.stop_timeout_s for bot in config.bots.values())


# The sections.


def _unit(config: Config, place: Place) -> list[tuple[str, str]]:
    lines = [("Description", f"Bots of {_plain(str(config.root))}")]
    if not place.manager:
        lines += [("Wants", "network-online.target"), ("After", "network-online.target")]
        mounts = dict.fromkeys([config.root, *written(config)])
        lines.append(("RequiresMountsFor", _list(mounts)))
    # Who dies at once, again and again, is broken: then `systemctl status` says so.
    return [*lines, ("StartLimitIntervalSec", "300"), ("StartLimitBurst", "20")]


def _service(config: Config, place: Place) -> list[tuple[str, str]]:
    lines = _life(config, place) + _timeouts(config)
    if not place.manager:
        lines += _who(config, place)
    lines += [("LoadCredential", f"{name}:{_one(path)}") for name, path in _credentials(config)]
    lines += _environment(place)
    read, write = _paths(config, place)
    # One bot out of memory is that bot's affair; a core would hold its secrets.
    lines += [("OOMPolicy", "continue"), ("LimitCORE", "0")]
    lines += sandbox(place, [*read, *write])
    return lines if place.manager else lines + _mounts(place, read, write)


def _life(config: Config, place: Place) -> list[tuple[str, str]]:
    notify = "notify-reload" if place.version >= _RELOAD_SINCE else "notify"
    run = [*place.program, "--config", str(config.path), "run"]
    sweep = [
        place.python,
        "-P",
        "-m",
        "supervisor.service.systemd.sweep",
        f"{_patience_s(config):g}",
    ]
    lines = [
        ("Type", notify),
        ("NotifyAccess", "main"),
        ("WorkingDirectory", _plain(str(config.root))),
        ("ExecStart", _words(run)),
    ]
    if notify == "notify":
        lines.append(("ExecReload", "/bin/kill -HUP $MAINPID"))
    # The bots are the supervisor's to stop; once it is dead, its sweep ends what is left.
    lines += [("KillMode", "process"), ("ExecStopPost", f"-{_words(sweep)}")]
    lines.append(("Restart", "always"))
    if place.version >= _STEPS_SINCE:
        steps = [("RestartSec", "500ms"), ("RestartSteps", "8"), ("RestartMaxDelaySec", "300")]
    else:
        steps = [("RestartSec", "2")]
    lines += steps
    # 2: the config or the command line is wrong, and stays so.
    return [*lines, ("RestartPreventExitStatus", "2")]


def _timeouts(config: Config) -> list[tuple[str, str]]:
    start_s = max(bot.start_timeout_s for bot in config.bots.values()) + _COMPANIONS_S
    stopping_s = max(stop_s(config), bound_s(_patience_s(config)))
    return [
        ("WatchdogSec", str(_WATCHDOG_S)),
        ("TimeoutStartSec", _seconds(start_s + _MARGIN_S)),
        ("TimeoutStopSec", _seconds(stopping_s + _MARGIN_S)),
        ("TimeoutAbortSec", "10"),
    ]


def _who(config: Config, place: Place) -> list[tuple[str, str]]:
    lines = [("User", place.user)] if place.user else [("DynamicUser", "yes")]
    for root, directive in MANAGED.items():
        names = _managed(config, place, root)
        if names:
            lines += [(directive, _list(map(Path, names))), (f"{directive}Mode", "0700")]
    lines += [("CacheDirectory", place.name), ("CacheDirectoryMode", "0700")]
    lines += [("RuntimeDirectory", f"stillhere/{place.name}")]
    return [*lines, ("RuntimeDirectoryMode", "0700")]


def _managed(config: Config, place: Place, root: Path) -> list[str]:
    """Return the first folders below `root` that systemd makes for us."""
    given = [path.relative_to(root).parts for path in written(config) if below(path, [root])]
    names = [parts[0] for parts in given if parts]
    if not place.user and root == place.home.parent:
        names.append(place.home.name)
    return sorted(set(names))


def _credentials(config: Config) -> Iterable[tuple[str, Path]]:
    return sorted(config.systemd.credentials.items())


def _environment(place: Place) -> list[tuple[str, str]]:
    given: dict[str, str] = {}
    if not place.manager:
        # Where `stillhere status` looks for the control socket, too.
        given["XDG_RUNTIME_DIR"] = f"%t/stillhere/{place.name}"
        given["XDG_CACHE_HOME"] = f"%C/{place.name}"
        if not place.user:
            given["HOME"] = f"%S/{place.home.name}"
    if place.path:
        usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        given["PATH"] = ":".join((*map(_plain, place.path), usual))
    given.update({name: _plain(str(path)) for name, path in place.browsers})
    return [("Environment", f'"{name}={value}"') for name, value in given.items()]


# What it sees and may write.


def _paths(config: Config, place: Place) -> tuple[list[Path], list[Path]]:
    """Return what it reads and what it may write, of each the outermost folders."""
    write = written(config)
    if place.user:  # a dynamic one owns nothing but what systemd makes for it
        write += [bot.cwd for bot in config.bots.values()]
    write = [path for path in write if len(path.parts) > _SHALLOW]
    return _outermost(place.reads), _outermost(write)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    known = set(paths)
    return sorted(path for path in known if not known.intersection(path.parents))


def _mounts(place: Place, read: Sequence[Path], write: Sequence[Path]) -> list[tuple[str, str]]:
    through = hidden_homes(write)
    behind = [path for path in hidden_homes(read) if not below(path, through)]
    plain = [path for path in write if path not in through and not below(path, MANAGED)]
    lines = [("BindReadOnlyPaths", _list(behind))] if behind else []
    lines += [("BindPaths", _list(through))] if through else []
    lines += [("ReadWritePaths", _list(plain))] if plain else []
    kept = [path for path in place.kept if below(path, write) and path not in write]
    return lines + ([("ReadOnlyPaths", _list(_outermost(kept)))] if kept else [])


# How words stand in a unit (systemd.syntax(7)).


def _plain(word: str) -> str:
    """Return a word without what could end its line, or begin something of its own."""
    if not word.isprintable() or any(letter in word for letter in "\"'\\"):
        raise SupervisorError(
            f"{word!r} cannot stand in a unit",
            "a path with quotes, backslashes or control characters: rename it",
        )
    return word.replace("%", "%%")


def _one(path: Path) -> str:
    if ":" in str(path):
        raise SupervisorError(f"{path} cannot stand in a unit: it has a colon", "rename it")
    return _plain(str(path))


def _list(paths: Iterable[Path]) -> str:
    return " ".join(_quoted(_one(path)) for path in paths)


def _words(words: Iterable[str]) -> str:
    return " ".join(_quoted(_plain(word).replace("$", "$$")) for word in words)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word or not word else word


def _seconds(length_s: float) -> str:
    return str(int(length_s + 0.999))


# How it is told whether a unit is of today.


def _hash(of: str) -> str:
    return blake3(of.encode("utf-8", "surrogateescape")).hexdigest(length=8)


def _print_of(config: Config) -> str:
    """Return a hash of all that the configuration puts into a unit."""
    bots = [
        (
            (bot.name, bot.command, bot.cwd, bot.session_path, bot.session is None, bot.preset),
            (bot.session_files, bot.library.name),
            (bot.user, bot.stop_timeout_s, bot.start_timeout_s, bot.checkpoint_timeout_s),
            bot.snapshots.freeze_timeout_ms,
        )
        for bot in config.bots.values()
    ]
    return _hash(repr((str(config.path), written(config), list(_credentials(config)), bots)))
