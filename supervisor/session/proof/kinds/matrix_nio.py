"""matrix-nio: credentials.json, and the store of the end-to-end keys beside it.

Read in matrix-nio 0.26 (`store/database.py`, `store/models.py`) and made with it. The store is
`<user>_<device>.db`, as a rule in `store/`. With the store gone and the credentials kept nio makes
new keys for the same device, is deaf to all that was sent before, and publishes them.

What can't be told at rest: whether the keys are the same. nio keeps its own device's keys in the
account's pickle alone, which is encrypted and changes with each use, and stores none of its own
public keys. So the identity is the user and the device, and a store that was made anew for the
same device has the same one. That the store is there, is whole and has that account is checked.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supervisor.session.proof.databases import columns, databases_in, mentions, rows
from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile, json_object

# The first is that of nio's own examples.
_FILES = ("credentials.json", "creds.json", "session.json", "login.json", "auth.json")
_USER = ("user_id", "userId", "mxid", "user")
_DEVICE = ("device_id", "deviceId")
_TOKEN = ("access_token", "accessToken", "token")
# Where examples and templates let the store lie.
_STORES = ("", "store", "nio_store", "crypto_store", "matrix_store")
_TABLE = "accounts"
_COLUMNS = ("user_id", "device_id", "account", "shared")


def is_nio(folder: Path) -> bool:
    """Return whether `folder` has a Matrix login in it, or a store of nio's."""
    return _login(folder) is not None or any(_stores(folder))


def nio_identity(folder: Path) -> str | None:
    """Return `<user>/<device>`; None without a login, or where no store there is that device's.

    A store alone, of a bot that has its login elsewhere, says nothing: the login may be lost. And
    so may the store be, if there is a folder for it; a bot without encryption has none.
    """
    login = _login(folder)
    if login is None:
        return None
    stores = list(_stores(folder))
    kept = stores or any((folder / name).is_dir() for name in _STORES[1:])
    if kept and not any(login in _devices(path) for path in stores):
        return None
    return "/".join(login)


def _login(folder: Path) -> tuple[str, str] | None:
    for name in _FILES:
        found = json_object(folder / name)
        user, device, token = (_word(found, names) for names in (_USER, _DEVICE, _TOKEN))
        if user.startswith("@") and device and token:
            return user, device
    return None


def _word(found: dict[str, Any], names: tuple[str, ...]) -> str:
    words = (found.get(name) for name in names)
    return next((word for word in words if isinstance(word, str) and word), "")


def _stores(folder: Path) -> Iterator[Path]:
    for name in _STORES:
        for path in databases_in(folder / name):
            if mentions(path, _TABLE) and columns(path, _TABLE).issuperset(_COLUMNS):
                yield path


def _devices(path: Path) -> Iterator[tuple[str, str]]:
    for user, device, account, _shared in rows(path, _TABLE, _COLUMNS):
        if isinstance(user, str) and isinstance(device, str) and account:
            yield user, device


NIO = Profile(
    name="matrix-nio",
    fits=is_nio,
    excludes=EXCLUDES,
    kept=("|".join(_FILES), "@*.db"),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    identity=nio_identity,
    identified_by=(*_FILES, "*.db"),
)
