"""Telegram's user and bot clients: `NAME.session`, an SQLite file with one row in `sessions`.

Read in telethon 1.45 (`sessions/sqlite.py`), pyrogram 2.0.106 and kurigram 2.2
(`storage/sqlite_storage.py`). All have `dc_id` and `auth_key` there; pyrogram's says whose it is
beside them. The auth key alone is the login: whoever has it is that device. A missing or empty
file is made anew without a word. Of several accounts in one folder the first by name counts.
"""

from pathlib import Path

from supervisor.session.proof.databases import columns, databases_in, rows
from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile, fingerprint

_ENDING = ".session"
_TABLE = "sessions"
_KEY_BYTES = 256
_BOTH = {"dc_id", "auth_key"}
_PYROGRAMS = {"test_mode", "user_id", "is_bot"}


def is_telethon(folder: Path) -> bool:
    """Return whether telethon keeps a session right in `folder`, logged in or not."""
    return any(found >= _BOTH and not _PYROGRAMS & found for found in _all_columns(folder))


def is_pyrogram(folder: Path) -> bool:
    """Return whether pyrogram, or what was made of it, keeps a session right in `folder`."""
    return any(found >= _BOTH | _PYROGRAMS for found in _all_columns(folder))


def _all_columns(folder: Path) -> list[set[str]]:
    return [columns(path, _TABLE) for path in databases_in(folder, _ENDING)]


def telethon_identity(folder: Path) -> str | None:
    """Return `dc<number>:<fingerprint of the auth key>`, or None before there is a key."""
    for path in databases_in(folder, _ENDING):
        for centre, key in rows(path, _TABLE, ("dc_id", "auth_key")):
            if _is_key(key):
                return f"dc{centre}:{fingerprint('telegram', key)}"
    return None


def pyrogram_identity(folder: Path) -> str | None:
    """Return `<user id>@dc<number>:<fingerprint of the auth key>`, or None before the login."""
    for path in databases_in(folder, _ENDING):
        for centre, key, user in rows(path, _TABLE, ("dc_id", "auth_key", "user_id")):
            if _is_key(key) and user:
                return f"{user}@dc{centre}:{fingerprint('telegram', key)}"
    return None


def _is_key(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == _KEY_BYTES


TELETHON = Profile(
    name="telethon",
    fits=is_telethon,
    excludes=EXCLUDES,
    required=(f"*{_ENDING}",),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    identity=telethon_identity,
    identified_by=(f"*{_ENDING}",),
)
PYROGRAM = Profile(
    name="pyrogram",
    fits=is_pyrogram,
    excludes=EXCLUDES,
    required=(f"*{_ENDING}",),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    identity=pyrogram_identity,
    identified_by=(f"*{_ENDING}",),
)
