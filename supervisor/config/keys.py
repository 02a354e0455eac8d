"""Every key of config.toml: its kind and its default, as one would write it in the file.

To add a key: a line here, and a field of the same name in `model.py`.
"""

from dataclasses import dataclass

from supervisor.config import kinds
from supervisor.config.kinds import Kind, one_of, whole


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

BOT = {
    "command": Key(kinds.COMMAND),  # ["python", "-m", "bot"] where there is such a module
    "session": Key(kinds.SESSION),  # the bot's name
    "session_path": Key(kinds.MAYBE_PATH, ""),
    "watch": Key(kinds.PATHS, ["."]),
    "watch_in_service": Key(kinds.BOOLEAN, default=False),
    "ignore": Key(kinds.PATTERNS, ["*.log"]),
    "preset": Key(kinds.TEXT, "auto"),
    "cwd": Key(kinds.PATH, "."),
    "env": Key(kinds.ENV, {}),
    "env_file": Key(kinds.MAYBE_PATH, ".env"),
    "ready": Key(kinds.READY, "notify"),
    "standby": Key(one_of("auto", "bot", "warm", "off"), "auto"),
    "stop_signal": Key(kinds.SIGNAL, "SIGTERM"),
    "stop_timeout_s": Key(kinds.SECONDS, 10),
    "restore_timeout_s": Key(kinds.SECONDS, 10),
    "start_timeout_s": Key(kinds.SECONDS, 60),
    "checkpoint_timeout_s": Key(kinds.SECONDS, 2),
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
}

# A limit that nobody asked for would end bots that are well: none by default.
LIMITS = {
    "memory_mb": Key(whole(1, None, "a whole number of megabytes")),
    "watchdog_s": Key(kinds.SECONDS),
}

BOT_TABLES = {"snapshots": SNAPSHOTS, "restart": RESTART, "limits": LIMITS}
