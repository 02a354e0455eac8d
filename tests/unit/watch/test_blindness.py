"""Without the kernel's events: said why and what helps, and nothing is missed all the same."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from watchfiles._rust_notify import WatchfilesRustInternalError

from supervisor.watch import kernel, shared
from supervisor.watch import watcher as module
from supervisor.watch.kernel import Events, Notify, rust_notify
from tests.unit.watch.watched import watching

EMFILE_TEXT = "Error creating recommended watcher: Too many open files (os error 24)"
ENOSPC_TEXT = "OS file watch limit reached. about [...] (Error { kind: MaxFilesWatch })"


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the polling of a blind watcher finds anything, and it does not take half a second."""
    monkeypatch.setattr(shared, "LOOK_EVERY_S", 3600.0)
    monkeypatch.setattr(module, "POLL_EVERY_S", 0.02)


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "fs.inotify.max_user_watches"),
        (OSError(ENOSPC_TEXT), "fs.inotify.max_user_watches"),
        (OSError(errno.EMFILE, "Too many open files"), "fs.inotify.max_user_instances"),
        (WatchfilesRustInternalError(EMFILE_TEXT), "fs.inotify.max_user_instances"),
    ],
)
def test_a_limit_of_the_kernel_is_named_and_polling_goes_on(
    tmp_path: Path, error: Exception, setting: str
) -> None:
    """Once, with the command that raises it; changes are told as before."""

    def refuse(_: Sequence[str]) -> Notify:
        raise error

    heard: list[str] = []
    threads: list[int] = []

    def note(problem: str) -> None:
        threads.append(threading.get_ident())
        heard.append(problem)

    async def main() -> tuple[list[tuple[str, ...]], list[str]]:
        async with watching(tmp_path, notify=refuse, on_problem=note) as watched:
            told = []
            for name in ("a.py", "b.py"):
                (tmp_path / "deep" / name).parent.mkdir(exist_ok=True)
                (tmp_path / "deep" / name).write_text("new")
                told.append(await watched.paths())
            return told, heard

    told, problems = asyncio.run(main())
    assert told == [("deep/a.py",), ("deep/b.py",)]
    assert threads == [threading.get_ident()], "told in the loop's thread"
    assert len(problems) == 1
    assert f"the limit {setting} (now " in problems[0]
    assert f"sudo sysctl {setting}=" in problems[0]


def test_events_come_back_when_the_limit_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again from time to time, without a word."""
    monkeypatch.setattr(module, "REARM_EVERY_S", 0.01)
    refusals = [OSError(errno.ENOSPC, "full")] * 4

    armed: list[Notify] = []

    def later(folders: Sequence[str]) -> Notify:
        if refusals:
            raise refusals.pop()
        armed.append(rust_notify(folders))
        return armed[-1]

    async def main() -> tuple[str, ...]:
        async with watching(tmp_path, notify=later) as watched:
            while not armed or watched._blind_since is not None:
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            monkeypatch.setattr(module, "POLL_EVERY_S", 3600.0)
            (tmp_path / "a.py").write_text("new")
            await watched.heard()
            return await watched.paths()

    assert asyncio.run(main()) == ("a.py",)


LIMITED = """
import sys, pathlib
from supervisor.watch.kernel import Blind, Kernel
try:
    Kernel(print).watch(sys.argv[1:])
except Blind as blind:
    print(blind)
"""


def test_the_kernels_own_refusal_is_understood(tmp_path: Path) -> None:
    """A real ENOSPC, in a user namespace of its own with three watches."""
    namespace = ["unshare", "-Ur", "sh", "-c"]
    limit = "echo 3 > /proc/sys/user/max_inotify_watches"
    if subprocess.run([*namespace, limit], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    folders = [tmp_path / str(n) for n in range(8)]
    for folder in folders:
        folder.mkdir()
    done = subprocess.run(
        [*namespace, f'{limit} && exec "$@"', "sh", sys.executable, "-c", LIMITED, *folders],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "fs.inotify.max_user_watches" in done.stdout


def test_a_watch_that_dies_is_made_again(tmp_path: Path) -> None:
    """An error inside the native loop is said, and changes are told as before."""

    class Dying:
        def watch(self, *_: object) -> Events:
            raise WatchfilesRustInternalError("the thread panicked")

        def close(self) -> None:
            pass

    made: list[int] = []

    def once(folders: Sequence[str]) -> Notify:
        made.append(1)
        return Dying() if len(made) == 1 else rust_notify(folders)

    async def main() -> tuple[tuple[str, ...], list[str]]:
        async with watching(tmp_path, notify=once) as watched:
            while len(made) == 1:
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            (tmp_path / "a.py").write_text("new")
            return await watched.paths(), watched.problems

    told, problems = asyncio.run(main())
    assert told == ("a.py",)
    assert len(problems) == 1


def test_a_tree_that_cant_be_read_is_not_an_empty_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no file descriptors left a look fails; the files are not taken for deleted."""
    (tmp_path / "a.py").write_text("1")
    monkeypatch.setattr(shared, "LOOK_EVERY_S", 0.02)
    real, failing = os.scandir, [False, False]

    def scandir(path: str) -> object:
        if failing[0]:
            failing[1] = True
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    async def main() -> tuple[tuple[str, ...], list[str]]:
        async with watching(tmp_path) as watched:
            failing[0] = True
            (tmp_path / "b.py").write_text("1")
            while not failing[1]:
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            assert watched.check() is None
            failing[0] = False
            return await watched.paths(), watched.problems

    told, problems = asyncio.run(main())
    assert told == ("b.py",)
    assert [problem for problem in problems if "Too many open files" in problem] == problems != []


def test_shares_and_windows_drives_are_known_for_what_they_are() -> None:
    """There the kernel tells nothing of what others change."""
    mounts = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "40 22 0:50 / /mnt/c rw,noatime - 9p drvfs rw\n"
        "41 22 0:51 / /mnt/my\\040share rw shared:2 master:1 - fuse.sshfs me@there: rw\n"
        "42 40 8:2 / /mnt/c/linux rw - ext4 /dev/sda2 rw\n"
    )
    roots = ["/home/me", "/mnt/c/bot", "/mnt/my share/bot", "/mnt/c/linux/bot", "/mnt/cold"]
    found = kernel.remote_roots(roots, mounts)
    assert found == {"/mnt/c/bot": "9p", "/mnt/my share/bot": "fuse.sshfs"}
