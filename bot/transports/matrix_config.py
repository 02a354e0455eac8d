"""What the Matrix transport is told by its environment. Pure: it reads a mapping, no more."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.transports import SetupError

_USER = re.compile(r"@[!-9;-~]+:[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which account the bot is, and whom it serves. `password` makes a first login, no more."""

    server: str
    user: str
    owner: str
    password: str = field(default="", repr=False)
    name: str = "stillhere"


def settings(env: Mapping[str, str]) -> Settings:
    """Return what the environment says.

    Raises: SetupError.
    """
    server = env.get("BOT_MATRIX_SERVER", "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise SetupError("BOT_MATRIX_SERVER: the homeserver's address is needed (https://...)")
    return Settings(
        server=server,
        user=_user(env, "BOT_MATRIX_USER"),
        owner=_user(env, "BOT_MATRIX_OWNER"),
        password=env.get("BOT_MATRIX_PASSWORD", ""),
        name=env.get("BOT_MATRIX_DEVICE_NAME", "") or "stillhere",
    )


def _user(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not _USER.fullmatch(value):
        raise SetupError(f"{name}: a full Matrix id is needed (@name:server)")
    return value
