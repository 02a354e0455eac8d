"""What must not happen when a child, or the machine it runs on, behaves badly."""

import asyncio
import errno
import os
import socket
import tempfile
from pathlib import Path

import pytest

from supervisor.control import paths
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.process import tree
from supervisor.process.notify import Message, NotifySocket
from tests.contract.childkit import Watched, watched

pytestmark = pytest.mark.usefixtures("adopting")


@pytest.mark.parametrize("nonsense", ["\u00b2", "9" * 5000, "-1", "1e3", "\u0663"])
def test_what_is_no_number_is_none(nonsense: str) -> None:
    """Not all that str.isdigit() says yes to is one; its exit is heard all the same."""

    async def run() -> None:
        keys = ("MONOTONIC_USEC", "X_STILLHERE_UNDECRYPTABLE", "X_STILLHERE_QR_TTL_USEC")
        words = "".join(f"{key}={nonsense}\n" for key in keys)
        text = f"X_STILLHERE_QR=code\nX_STILLHERE_CHECKPOINT=1\nREADY=1\n{words}"
        async with watched(f"say({text.encode()!r})\nos._exit(7)") as bot:
            assert (await bot.heard(ev.Exited)).status == 7
            assert bot.kinds() == ["BotReady", "Exited", "TreeGone"]
            assert (bot.child.heard.qr, bot.child.heard.qr_until) == ("code", None)

    asyncio.run(run())


def test_a_bot_that_never_stops_talking_does_not_take_the_loop() -> None:
    """However fast it is: after some messages everything else gets its turn."""
    most = 50_000
    heard: list[Message] = []

    async def run() -> None:
        with (
            tempfile.TemporaryDirectory(prefix="n") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bot,
        ):
            path = Path(folder) / "s"

            def on_message(message: Message) -> None:
                heard.append(message)
                if len(heard) < most:
                    bot.send(b"STATUS=more")

            notify = NotifySocket(path, on_message, lambda _pid: True)
            bot.connect(str(path))
            bot.send(b"STATUS=first")
            notify.drain()
            notify.close()
            assert 512 < len(heard) < most

    asyncio.run(run())


def test_what_cannot_be_watched_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no descriptor left for its pidfd it is ended again: no process that nobody knows."""

    def full(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def run() -> None:
        before = set(os.listdir("/proc/self/fd"))
        with tempfile.TemporaryDirectory(prefix="n") as sockets, monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", full)
            with pytest.raises(SupervisorError, match="could not be started: Too many open files"):
                Watched(tmp_path, "hold()", socket_dir=Path(sockets), stdin=True)
            assert os.listdir(sockets) == []
        assert set(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())


def test_a_variable_that_no_process_can_have_is_told(tmp_path: Path) -> None:
    """A NUL, from an env file or the config: refused with a hint, and nothing left open."""

    async def run() -> None:
        before = set(os.listdir("/proc/self/fd"))
        with tempfile.TemporaryDirectory(prefix="n") as sockets:
            env = {"PATH": os.defpath, "X": "a\0b"}
            with pytest.raises(SupervisorError, match="null byte"):
                Watched(tmp_path, "hold()", socket_dir=Path(sockets), env=env)
        assert set(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())


def test_where_the_control_socket_fits_the_notify_socket_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long XDG_RUNTIME_DIR is refused at the start, not at the first spawn."""

    async def run(longest: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="n", dir=longest) as sockets:
            async with watched("say(b'READY=1')\nhold()", socket_dir=Path(sockets)) as bot:
                await bot.heard(ev.BotReady)

    with tempfile.TemporaryDirectory() as base:
        monkeypatch.setenv("TMPDIR", base)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        name = paths.socket_path(tmp_path / "c.toml").name
        taken = len(os.fsencode(Path(base) / "x" / "stillhere" / name))
        longest = Path(base) / ("x" * (1 + paths.LIMIT_BYTES - taken))
        longest.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(longest))
        folder = paths.socket_path(tmp_path / "c.toml").parent
        assert folder.parent == longest
        folder.mkdir()
        asyncio.run(run(folder))


def test_the_main_process_s_number_stays_its_own_until_the_tree_is_gone() -> None:
    """A tree is found by its main process's pid: that must not become another's meanwhile."""

    async def run() -> None:
        script = "if os.fork(): os._exit(0)\nsay(b'READY=1')\nhold()"
        async with watched(script) as bot:
            await bot.heard(ev.Exited)
            assert bot.child.pid in tree.children(os.getpid())
            await bot.heard(ev.BotReady)
            bot.child.kill()
            await bot.heard(ev.TreeGone)
            assert bot.child.pid not in tree.children(os.getpid())

    asyncio.run(run())
