"""Where the control socket lies.

Both ends compute the place from the config's real path and the environment; nothing is asked. A
folder that somebody else could have made, or could write, is never used.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from supervisor.core.errors import SupervisorError

# sun_path has 108 bytes, and Linux wants the last one for the NUL.
LIMIT_BYTES = 107
# Others may pass through, to a socket of theirs whose name they know; and list nothing.
PASSAGE_MODE = 0o711
# Root's: systemd makes a folder in it for each service, which that service's user owns.
SERVICES = Path("/run/stillhere")


def _name(config_path: Path) -> str:
    """Name a config by its real path: two names of one file share a supervisor."""
    real = os.fsencode(os.path.realpath(config_path))
    return blake3(real).hexdigest(length=12)


def _runtime_folder(text: str) -> Path | None:
    """Return our folder in a runtime directory, if that one is really ours.

    `su` keeps XDG_RUNTIME_DIR of the former user: a foreign one is passed over in silence.
    """
    if not text.startswith("/"):
        return None
    try:
        found = os.stat(text)  # noqa: PTH116 - a str from the environment, on the way of every command
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        return None
    return Path(text) / "stillhere"


def folders() -> list[Path]:
    """List the folders where a socket may lie, the best first."""
    uid = os.geteuid()
    found = [_runtime_folder(os.environ.get("XDG_RUNTIME_DIR", ""))]
    temporary = os.environ.get("TMPDIR", "")
    if temporary.startswith("/"):
        found.append(Path(temporary) / f"stillhere-{uid}")
    found.append(Path(f"/tmp/stillhere-{uid}"))  # noqa: S108 - made 0700 and its owner checked
    return list(dict.fromkeys(folder for folder in found if folder is not None))


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LIMIT_BYTES


def socket_path(config_path: Path) -> Path:
    """Return where the supervisor of this config listens; makes nothing.

    Raises: SupervisorError if no folder's path is short enough.
    """
    name = f"{_name(config_path)}.sock"
    for folder in folders():
        if _fits(folder / name):
            return folder / name
    raise SupervisorError(
        f"no place for the control socket: its path may have at most {LIMIT_BYTES} bytes",
        "set XDG_RUNTIME_DIR or TMPDIR to a shorter folder",
    )


def candidates(config_path: Path) -> list[Path]:
    """List where a supervisor with another environment may listen (cron, ssh, a service)."""
    name = f"{_name(config_path)}.sock"
    places = folders()
    usual = _runtime_folder(f"/run/user/{os.geteuid()}")
    if usual is not None and usual not in places:
        places.append(usual)
    places += [folder for folder in _of_services() if folder not in places]
    return [folder / name for folder in places if _fits(folder / name)]


def _of_services() -> list[Path]:
    try:
        return [SERVICES / name / "stillhere" for name in sorted(os.listdir(SERVICES))]
    except OSError:
        return []


def passage() -> Path:
    """Return the folder below which lie the sockets of bots that run as another user than root."""
    base = "/run" if os.access("/run", os.W_OK) else "/tmp"  # noqa: S108 - its owner is checked
    return Path(base) / "stillhere-bots"


def prepare(folder: Path, mode: int = 0o700) -> None:
    """Make the socket's folder with just this mode, or check that it is ours.

    Raises: SupervisorError if it is a link, no folder, somebody else's, or can't be made.
    """
    hint = "remove it, or set XDG_RUNTIME_DIR to a folder of your own"
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        pass
    except OSError as error:
        raise SupervisorError(
            f"cannot make the control socket's folder {folder}: {error.strerror}",
            "set XDG_RUNTIME_DIR to a folder of your own",
        ) from error
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # A umask of 0777 makes even our own new folder unreadable to us.
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            folder.chmod(mode)
        handle = os.open(folder, flags)
    except OSError as error:
        raise SupervisorError(
            f"the control socket's folder {folder} is not a folder of ours: {error.strerror}", hint
        ) from error
    try:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid():
            raise SupervisorError(
                f"the control socket's folder {folder} belongs to uid {found.st_uid}", hint
            )
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def owners(folder: Path) -> frozenset[int]:
    """Return whose supervisor may listen there: ours, root's; for root, a service's user's."""
    uids = {os.geteuid(), 0}
    with suppress(OSError):
        if os.geteuid() == 0 and folder.parent.parent == SERVICES:
            made = SERVICES.lstat()
            if stat.S_ISDIR(made.st_mode) and made.st_uid == 0 and not made.st_mode & 0o022:
                uids.add(folder.lstat().st_uid)
    return frozenset(uids)


def trusted(folder: Path) -> bool:
    """Say whether only one of its owners could have put a socket there."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode) and found.st_uid in owners(folder) and not found.st_mode & 0o022
    )
