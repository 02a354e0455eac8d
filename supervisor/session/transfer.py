"""Sessions to and from elsewhere: a plain folder, or a .tar.zst."""

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import zstandard

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.progress import Progress
from supervisor.session.restoring.rebuild import build
from supervisor.session.scan import scan
from supervisor.session.storage.entries import safe_path
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.store import Store

SUFFIX = ".tar.zst"


def export(store: Store, manifest: Manifest, path: Path, progress: Progress | None = None) -> Path:
    """Write a snapshot to `path`, which must not exist yet (an empty folder may).

    Raises: SupervisorError, DamagedBlob, OSError.
    """
    path = path.absolute()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise SupervisorError(f"{path} is there already", "name a path that does not exist yet")
    if not path.parent.is_dir():
        raise SupervisorError(f"{path.parent} is no folder", "create it first")
    draft = path.with_name(f".{path.name}.part")
    files.remove_tree(draft)
    try:
        if path.name.endswith(SUFFIX):
            with files.scratch(store.tmp) as work:
                folder = work / f"session-{manifest.id}"
                build(manifest, folder, store, progress=progress)
                _write_tar(folder, draft)
        else:
            build(manifest, draft, store, progress=progress)
        draft.rename(path)
    except BaseException:
        files.remove_tree(draft)
        raise
    files.sync_dir(path.parent)
    return path


def unpack(path: Path, target: Path) -> None:
    """Write the session at `path` into the new folder `target`, synced and private.

    Raises: SupervisorError for what is no session, or would write outside; OSError.
    """
    files.remove_tree(target)
    if path.is_dir():
        _copy_folder(path, target)
    elif path.name.endswith(SUFFIX) and path.is_file():
        files.make_private(target)
        with _opened(path) as tar:
            _read_tar(tar, target, path)
        _hoist(target)
    else:
        raise SupervisorError(f"{path} is neither a folder nor a {SUFFIX} file")
    for folder, _dirs, names in os.walk(target):
        Path(folder).chmod(0o700)
        for name in names:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(0o600 | stat.S_IMODE(file.stat().st_mode) & 0o100)
    files.sync_tree(target)
    files.sync_dir(target.parent)


def _write_tar(folder: Path, target: Path) -> None:
    fd = files.create(target)
    with os.fdopen(fd, "wb") as raw:
        with (
            zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            tar.add(folder, arcname=folder.name)
        raw.flush()
        os.fsync(raw.fileno())


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with path.open("rb") as raw:
            stream: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(raw)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise SupervisorError(f"{path} is torn or no {SUFFIX} file: {error}") from error


def _read_tar(tar: tarfile.TarFile, target: Path, path: Path) -> None:
    """Write files, folders and links, and nothing through a link or outside `target`."""
    folders = {""}
    for member in tar:
        name = member.name.removeprefix("./").rstrip("/")
        if name in ("", "."):
            continue
        parent = name.rpartition("/")[0]
        if not safe_path(name) or parent not in folders or files.there(target / name):
            raise SupervisorError(f"{path} holds {member.name!r}, which is no part of a session")
        if member.isdir():
            (target / name).mkdir(0o700)
            folders.add(name)
        elif member.issym():
            (target / name).symlink_to(member.linkname)
        elif (content := tar.extractfile(member)) is not None:
            fd = files.create(target / name)
            with os.fdopen(fd, "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
                file.flush()
                os.utime(file.fileno(), (member.mtime, member.mtime))


def _hoist(target: Path) -> None:
    """Leave out the one folder that `export` puts around the files."""
    inside = list(target.iterdir())
    if len(inside) != 1 or not inside[0].name.startswith("session-"):
        return
    inner = inside[0]
    if inner.is_symlink() or not inner.is_dir():
        return
    # Under this name the next recovery removes it, should the process end in between.
    aside = target.with_name(f"{target.name}.gone")
    files.remove_tree(aside)
    inner.rename(aside)
    target.rmdir()
    aside.rename(target)


def _copy_folder(source: Path, target: Path) -> None:
    found = scan(source)
    if found.missed:
        raise SupervisorError(
            f"{source} can't be read whole: {found.notes[0]}",
            "nothing was changed; give yourself the right to read all of it",
        )
    files.make_private(target)
    for path, seen in found.seen.items():
        if seen.kind == "dir":
            (target / path).mkdir(0o700)
        elif seen.kind == "link":
            (target / path).symlink_to(seen.target)
        else:
            shutil.copyfile(source / path, target / path, follow_symlinks=False)
            os.utime(target / path, ns=(seen.mtime_ns, seen.mtime_ns))
