"""Small filesystems in a file, mounted for one test, and gone after it whatever happens."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# The smallest that mkfs takes: xfs 300 MiB (mkfs.xfs(8) since 5.19), btrfs about 110.
SIZE_MB = {"ext4": 16, "xfs": 320, "btrfs": 128, "tmpfs": 64}
_MKFS = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
}


@contextmanager
def mounted(kind: str, folder: Path) -> Iterator[Path]:
    """Yield the root of a new filesystem of that kind. Skips the test where that can't be."""
    if os.geteuid():
        pytest.skip("to mount takes root")
    root = folder / f"{kind}-mounted"
    root.mkdir()
    try:
        _mount(kind, folder, root)
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is not installed")
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()[-300:]
        pytest.skip(
            f"a {kind} can't be mounted here (a loop device and the kernel's {kind}): {said}"
        )
    try:
        yield root
    finally:
        unmount(root)


def _mount(kind: str, folder: Path, root: Path) -> None:
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB[kind]}m", "tmpfs", str(root))
        return
    image = folder / f"{kind}.image"
    with image.open("wb") as file:
        file.truncate(SIZE_MB[kind] << 20)
    _run(*_MKFS[kind], str(image))
    _run("mount", "-o", "loop", "-t", kind, str(image), str(root))


@contextmanager
def bound(folder: Path) -> Iterator[None]:
    """Make `folder` a mount point of itself, as a container's volume is one."""
    _run("mount", "--bind", str(folder), str(folder))
    try:
        yield
    finally:
        unmount(folder)


def unmount(root: Path) -> None:
    """Unmount; where somebody still holds it, it goes as soon as they let go."""
    if subprocess.run(["umount", str(root)], capture_output=True, check=False).returncode:
        _run("umount", "--lazy", str(root))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
