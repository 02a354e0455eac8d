"""Every key of config.toml: its kind and its default, as one would write it in the file.

To add a key: a line here, and a field of the same name in `model.py`.
"""

from dataclasses import dataclass

from supervisor.config import kinds
from supervisor.config.kinds import Kind, one_of, whole
from supervisor.config.preset import Output


@dataclass(frozen=True, slots=True)
class Key:
    """`default` is a TOML value. None: the key has no value unless one is given."""

    kind: Kind
    default: object = None


SUPERVISOR = {
    "sessions": Key(kinds.PATH, "sessions"),
    "snapshots": Key(kinds.PATH, ".session-cache"),
    "state": Key(kinds.PATH, "session-state.json"),
}

LOGS = {
    "folder": Key(kinds.MAYBE_PATH, ""),
    "rotate_mb": Key(whole(1, None, "a whole number of megabytes"), 10),
    "rotate_hours": Key(whole(1, None, "a whole number of hours"), 24),
    "keep_files": Key(whole(1), 7),
    "mask": Key(kinds.REGEXES, []),
}

# Nothing listens unless somebody asks for it.
METRICS = {
    "listen": Key(kinds.LISTEN, ""),
    "public": Key(kinds.BOOLEAN, default=False),
}

WEB = {
    "enabled": Key(kinds.SERVED, "auto"),
    "port": Key(whole(0, 65535, "a port, or 0 for any that is free: a whole number"), 0),
}

ALERTS = {
    "command": Key(kinds.MAYBE_COMMAND, []),
    "webhook": Key(kinds.SECRET_URL, ""),
    "repeat_s": Key(kinds.SECONDS, 3600),
    "snapshot_age_s": Key(kinds.SECONDS, 3600),
}

SYSTEMD = {
    "credentials": Key(kinds.CREDENTIALS, {}),
}

BOT = {
    "command": Key(kinds.COMMAND),  # ["python", "-m", "bot"] where there is such a module
    "session": Key(kinds.SESSION),  # the bot's name
    "session_path": Key(kinds.MAYBE_PATH, ""),
    "session_files": Key(kinds.NAMES, []),
    "watch": Key(kinds.PATHS, ["."]),
    "watch_only": Key(kinds.PATTERNS, []),
    "watch_in_service": Key(kinds.BOOLEAN, default=False),
    "ignore": Key(kinds.PATTERNS, ["*.log"]),
    "preset": Key(kinds.TEXT, "auto"),
    "cwd": Key(kinds.PATH, "."),
    "env": Key(kinds.ENV, {}),
    "env_file": Key(kinds.MAYBE_PATH, ".env"),
    "ready": Key(kinds.READY, "notify"),
    "standby": Key(one_of("auto", "bot", "warm", "off"), "auto"),
    "user": Key(kinds.MAYBE_USER, ""),
    "stop_signal": Key(kinds.SIGNAL, "SIGTERM"),
    "stop_timeout_s": Key(kinds.SECONDS, 10),
    "restore_timeout_s": Key(kinds.SECONDS, 10),
    "start_timeout_s": Key(kinds.SECONDS, 60),
    "checkpoint_timeout_s": Key(kinds.SECONDS, 2),
    "settle_s": Key(kinds.SECONDS),  # as the session's kind has it
}

SNAPSHOTS = {
    "every_s": Key(kinds.SECONDS, 300),
    "keep_last": Key(whole(1), 5),
    "keep_hourly": Key(whole(0), 6),
    "keep_daily": Key(whole(0), 7),
    "older": Key(one_of("ask", "auto"), "ask"),
    "freeze_timeout_ms": Key(whole(1, 5000, "a whole number of milliseconds"), 300),
}

RESTART = {
    "policy": Key(one_of("always", "on-failure", "never"), "on-failure"),
    "backoff_s": Key(kinds.BACKOFF, [0.5, 30]),
    "intensity": Key(kinds.INTENSITY, [5, 60]),
    "no_retry": Key(kinds.STATUSES, []),
}

# A limit that nobody asked for would end bots that are well: none by default.
LIMITS = {
    "memory_mb": Key(whole(1, None, "a whole number of megabytes")),
    "memory_grace_s": Key(kinds.SECONDS, 10),
    "watchdog_s": Key(kinds.SECONDS),
    "alive": Key(kinds.ALIVE),
    "alive_every_s": Key(kinds.SECONDS, 10),
    "alive_misses": Key(whole(1), 3),
    "hang_signal": Key(kinds.SIGNAL, "SIGABRT"),
}

# How `verify` may treat it. By default a copy of a session is never used beside the original.
VERIFY = {
    "isolated": Key(kinds.BOOLEAN, default=False),
    "pair": Key(kinds.MAYBE_COMMAND, []),
}

PRESET = {
    "about": Key(kinds.TEXT, "a preset of this config"),
}
PRESET_TABLES = {
    "recognise": {
        "packages": Key(kinds.PATTERNS, []),
        "imports": Key(kinds.PATTERNS, []),
        "text": Key(kinds.PATTERNS, []),
    },
    "session": {
        "kind": Key(kinds.TEXT, "generic"),
        "place": Key(one_of("folder", "file", "parts"), "folder"),
        "source": Key(kinds.COMPILED, []),
        "named": Key(kinds.TEMPLATE, "{}"),
        "path": Key(kinds.PATTERNS, []),
        "folder": Key(kinds.TEXT, "."),
        "folder_source": Key(kinds.COMPILED, []),
    },
    "output": {name: Key(kinds.COMPILED, []) for name in Output.__dataclass_fields__},
    "process": {
        "speaks": Key(kinds.BOOLEAN, default=False),
        "alive_s": Key(kinds.SECONDS, 3),
        "close": Key(one_of("", "browser"), ""),
        "ignore": Key(kinds.PATTERNS, []),
    },
}

TABLES = {
    "supervisor": SUPERVISOR,
    "logs": LOGS,
    "metrics": METRICS,
    "web": WEB,
    "alerts": ALERTS,
    "systemd": SYSTEMD,
}
BOT_TABLES = {"snapshots": SNAPSHOTS, "restart": RESTART, "limits": LIMITS, "verify": VERIFY}
