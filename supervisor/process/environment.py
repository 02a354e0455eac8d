"""The environment that a bot is started with."""

import os
from collections.abc import Mapping
from pathlib import Path
from sys import intern

from supervisor.process.user import User

# What is between us and our own supervisor, or a former one, is none of the bot's business.
_OURS = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "STILLHERE_TOKEN",
    "STILLHERE_SESSION_ID",
    "STILLHERE_SESSION_DIR",
    "STILLHERE_GENERATION",
    "STILLHERE_STANDBY_FD",
    "STILLHERE_CHANGED",
)


def base(
    config_env: Mapping[str, str], env_file: Path | None, user: User | None = None
) -> dict[str, str]:
    """Return what every generation gets: ours, its user's, the env file's, the config's."""
    # Interned: each look at our own makes new texts of all of it, and each bot keeps one.
    own = ((intern(key), intern(value)) for key, value in os.environ.items())
    env = {key: value for key, value in own if key not in _OURS}
    if user is not None:
        env = user.environment(env)
    env["PYTHONUNBUFFERED"] = "1"
    if env_file is not None:
        env.update(read_env_file(env_file))
    env.update(config_env)
    return env


def read_env_file(path: Path) -> dict[str, str]:
    """Return the KEY=VALUE lines of an env file; none when it cannot be read.

    As env files are written by hand: comments, `export `, one pair of quotes around a value.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip().removeprefix("export ")
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or line.startswith("#") or not key.replace("_", "a").isalnum():
            continue
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[key] = value[1:-1] if quoted else value
    return found
