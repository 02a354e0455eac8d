"""Sessions to and from elsewhere: a plain folder, or a .tar.zst."""

import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import zstandard

from supervisor.core.errors import SupervisorError
from supervisor.session import files, incoming
from supervisor.session.inside import inside
from supervisor.session.names import Names
from supervisor.session.progress import Progress, Tally
from supervisor.session.restoring.rebuild import build
from supervisor.session.scan import scan
from supervisor.session.storage.entries import safe_path
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.store import Store

SUFFIX = ".tar.zst"
# How the folders are called in which an export grows, beside what it becomes.
DRAFTS = ".stillhere-export-"
_COPY_BYTES = 1 << 20
_NAMED_MAX = 6
# The last two: a name with a NUL in it, a time that no file can have.
_TORN = (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, OverflowError)
_NAME = "name what `stillhere session export` wrote, or the plain folder of a session"


def export(store: Store, manifest: Manifest, path: Path, progress: Progress | None = None) -> Path:
    """Write a snapshot to `path`, which must not exist yet (an empty folder may).

    Raises: SupervisorError, DamagedBlob, OSError.
    """
    path = path.absolute()
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise SupervisorError(f"{path} is there already", "name a path that does not exist yet")
    if not path.parent.is_dir():
        raise SupervisorError(f"{path.parent} is no folder", "create it first")
    with suppress(OSError):  # a folder that can be written, and not be listed
        files.sweep_scratch(path.parent, DRAFTS)
    with files.scratch(path.parent, DRAFTS) as work:
        draft = work / f"session-{manifest.id}"
        if path.name.endswith(SUFFIX):
            draft = work / "packed"
            _export_packed(store, manifest, draft, progress)
        else:
            build(manifest, draft, store, progress=progress)
        draft.rename(path)
    files.sync_dir(path.parent)
    return path


def _export_packed(
    store: Store, manifest: Manifest, draft: Path, progress: Progress | None
) -> None:
    with files.scratch(store.tmp) as work:
        folder = work / f"session-{manifest.id}"
        # It is written twice, as files and then as one: each counts half.
        build(manifest, folder, store, progress=_first_half(progress))
        tally = Tally(progress, manifest.size_bytes)
        tally.add(manifest.size_bytes // 2)
        _write_tar(folder, draft, tally)


def _first_half(progress: Progress | None) -> Progress | None:
    return None if progress is None else lambda done, total: progress(done // 2, total)


def unpack(
    path: Path, target: Path, progress: Progress | None = None, names: Names | None = None
) -> list[str]:
    """Write the session at `path` into the new folder `target`, synced and private.

    `names`: what of it is the session; None: all. Returns what was left out, in words: a pipe, a
    device, what is not of the session.
    Raises: SupervisorError for what is no session, finds no room, or would write outside; OSError.
    """
    files.remove_tree(target)
    if path.is_dir():
        incoming.room_for(path, target, names)
        left_out = _copy_folder(path, target, progress, names)
    elif path.name.endswith(SUFFIX) and path.is_file():
        files.make_private(target)
        with _opened(path, Tally(progress, path.stat().st_size)) as tar:
            left_out = _Unpacking(tar, target, path).run()
        _hoist(target)
        left_out += _without_others(target, names)
    else:
        raise SupervisorError(f"{path} is neither a folder nor a {SUFFIX} file", _NAME)
    for folder, _dirs, inside_it in os.walk(target):
        Path(folder).chmod(0o700)
        for name in inside_it:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(0o600 | stat.S_IMODE(file.stat().st_mode) & 0o100)
    files.sync_tree(target)
    files.sync_dir(target.parent)
    return left_out


class _Counted:
    """A stream that tells how many bytes went through it. `worth`: one in so many counts."""

    def __init__(self, stream: IO[bytes], tally: Tally, worth: int = 1) -> None:
        self._stream = stream
        self._tally = tally
        self._worth = worth

    def write(self, data: bytes) -> int:
        self._tally.add(len(data) // self._worth)
        return self._stream.write(data)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._tally.add(len(data) // self._worth)
        return data


def _write_tar(folder: Path, target: Path, tally: Tally) -> None:
    fd = files.create(target)
    with os.fdopen(fd, "wb") as raw:
        with (
            zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as packed,
            tarfile.open(
                fileobj=cast("IO[bytes]", _Counted(packed, tally, 2)),
                mode="w|",
                format=tarfile.PAX_FORMAT,
            ) as tar,
        ):
            tar.add(folder, arcname=folder.name)
        raw.flush()
        os.fsync(raw.fileno())


@contextmanager
def _opened(path: Path, tally: Tally) -> Iterator[tarfile.TarFile]:
    try:
        with path.open("rb") as raw:
            stream: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(
                cast("IO[bytes]", _Counted(raw, tally))
            )
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
    except _TORN as error:
        raise SupervisorError(f"{path} is torn or no {SUFFIX} file: {error}", _NAME) from error


class _Unpacking:
    """Writes an archive's files, folders and links, and nothing through a link or outside."""

    def __init__(self, tar: tarfile.TarFile, target: Path, path: Path) -> None:
        self._tar = tar
        self._target = target
        self._path = path
        self._folders = {""}

    def run(self) -> list[str]:
        """Return what was left out, in words. Raises: SupervisorError, OSError, TarError."""
        left_out: list[str] = []
        for member in self._tar:
            name = _bare(member.name)
            if name in ("", "."):
                continue
            if not self._may_be(name) or files.there(self._target / name):
                raise self._refused(f"holds {member.name!r}, which is no part of a session")
            if not self._put(member, name):
                left_out.append(f"{name} is no file, folder or link: left out")
        return left_out

    def _may_be(self, name: str) -> bool:
        return safe_path(name) and name.rpartition("/")[0] in self._folders

    def _put(self, member: tarfile.TarInfo, name: str) -> bool:
        target = self._target / name
        if member.isdir():
            target.mkdir(0o700)
            self._folders.add(name)
        elif member.issym():
            target.symlink_to(member.linkname)
        elif member.islnk():
            # Another name of a file that came before it: tar stores its bytes once.
            source = _bare(member.linkname)
            if not self._may_be(source) or not files.is_plain(self._target / source):
                raise self._refused(f"links {member.name!r} to what is not in it")
            self._fits((self._target / source).stat().st_size)
            _copy_file(self._target / source, target, Tally(None, 0))
        elif (content := self._tar.extractfile(member)) is not None:
            self._fits(member.size)
            with os.fdopen(files.create(target), "wb") as file:
                shutil.copyfileobj(content, file, _COPY_BYTES)
                file.flush()
                os.utime(file.fileno(), (member.mtime, member.mtime))
        else:
            return False
        return True

    def _fits(self, size_bytes: int) -> None:
        if size_bytes > (room_bytes := incoming.free_bytes(self._target)):
            raise incoming.no_room(self._path, room_bytes)

    def _refused(self, why: str) -> SupervisorError:
        return SupervisorError(f"{self._path} {why}", f"nothing was changed; {_NAME}")


def _bare(name: str) -> str:
    return name.removeprefix("./").rstrip("/")


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


def _without_others(target: Path, names: Names | None) -> list[str]:
    """Remove from a folder of ours what is not of the session. Returns that, in words."""
    others = _others(target, names)
    for name in others:
        files.remove_tree(target / name)
    return _said(others)


def _others(folder: Path, names: Names | None) -> list[str]:
    return [] if names is None else sorted({*os.listdir(folder)} - {*names.among(folder)})


def _said(others: list[str]) -> list[str]:
    more = f" and {len(others) - _NAMED_MAX} more" if len(others) > _NAMED_MAX else ""
    listed = ", ".join(others[:_NAMED_MAX])
    return [f"{listed}{more}: none of `session_files`"] if others else []


def _copy_folder(
    source: Path, target: Path, progress: Progress | None, names: Names | None
) -> list[str]:
    found = scan(source) if names is None else scan(source, names=names)
    if found.missed:
        raise SupervisorError(
            f"{source} can't be read whole: {found.notes[0]}",
            "nothing was changed; give yourself the right to read all of it",
        )
    files.make_private(target)
    tally = Tally(progress, found.size_bytes)
    for path, seen in found.seen.items():
        if seen.kind == "dir":
            (target / path).mkdir(0o700)
        elif seen.kind == "link":
            (target / path).symlink_to(seen.target)
        else:
            with inside(source, path) as place:
                _copy_file(place, target / path, tally)
            os.utime(target / path, ns=(seen.mtime_ns, seen.mtime_ns))
    return found.notes + _said(_others(source, names))


def _copy_file(source: Path, target: Path, tally: Tally) -> None:
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as old, os.fdopen(files.create(target), "wb") as new:
        shutil.copyfileobj(cast("IO[bytes]", _Counted(old, tally)), new, _COPY_BYTES)
