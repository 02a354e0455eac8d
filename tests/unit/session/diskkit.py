"""Disks that do not give back what is on them, for the tests of the store."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.session.sessionkit import Place


def unopened(patch: pytest.MonkeyPatch, hit: Callable[[str], bool], error: int = errno.EIO) -> None:
    """Let each opening of a file fail whose path is a `hit`."""
    really = os.open

    def fails(path: Any, flags: int, *args: Any, **how: Any) -> int:
        if hit(os.fsdecode(path)):
            raise OSError(error, os.strerror(error), path)
        return really(path, flags, *args, **how)

    patch.setattr(os, "open", fails)


def unread_manifests(
    patch: pytest.MonkeyPatch, place: Place, *seqs: int, error: int = errno.EIO
) -> None:
    """Let the manifests with these numbers (none: all) be there, and not be readable."""
    names = place.manifests()
    marks = [f".{seq:06}." for seq in seqs]
    paths = {
        str(place.store / name)
        for name in names
        if not marks or any(mark in name for mark in marks)
    }
    assert paths
    unopened(patch, paths.__contains__, error)


def failing_reads(patch: pytest.MonkeyPatch, hit: Callable[[Path], bool]) -> None:
    """Let each reading at an offset fail in a file whose path is a `hit`."""
    really = os.pread

    def fails(fd: int, length: int, offset: int) -> bytes:
        if hit(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, length, offset)

    patch.setattr(os, "pread", fails)


@contextmanager
def disk_at(folder: Path, size: str = "50%") -> Iterator[None]:
    """Mount a disk of that size (as mount(8) takes it) at `folder`. Skips where it may not."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def bound_at(place: Place, inside: str, *, writable: bool = True) -> Iterator[Path]:
    """Mount a copy of what is `inside` the session there, as a container's volumes are.

    Yields that copy, which the mount shows. Skips where it may not.
    """
    target, source = place.live / inside, place.root / "outside"
    (shutil.copytree if target.is_dir() else shutil.copyfile)(target, source)
    if subprocess.run(_bind(source, target), capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        if not writable:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(target)], check=True)
        yield source
    finally:
        # It went along with a folder that was renamed.
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for point in (line.split()[4] for line in lines):
            if point.startswith(f"{place.root}/") and point.endswith(f"/{inside}"):
                subprocess.run(["umount", point], check=True)


def _bind(source: Path, target: Path) -> list[str]:
    return ["mount", "--bind", str(source), str(target)]
