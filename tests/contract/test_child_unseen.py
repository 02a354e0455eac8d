"""What cannot be looked at or signalled: an end is heard all the same, and none is made up."""

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from supervisor.core import events as ev
from supervisor.session.lock import OwnerLock
from tests.contract.childkit import watched

pytestmark = pytest.mark.usefixtures("adopting")


def test_an_end_is_heard_while_the_lock_cannot_be_opened(tmp_path: Path) -> None:
    """No descriptor left, or a broken disk: the tree is gone only once that can be seen."""
    lock = OwnerLock(tmp_path, "x")
    aside = tmp_path / "aside"

    async def run() -> None:
        fd = lock.generation_fd(1)
        try:
            async with watched("hold()", lock=lock, lock_fd=fd) as bot:
                os.close(fd)
                lock.path.rename(aside)
                lock.path.symlink_to(lock.path.name)
                os.kill(bot.child.pid, signal.SIGKILL)
                assert (await bot.heard(ev.Exited)).status == -signal.SIGKILL
                assert not bot.child.gone
                aside.replace(lock.path)
                await bot.heard(ev.TreeGone)
        finally:
            aside.unlink(missing_ok=True)

    asyncio.run(run())


def test_who_may_not_be_signalled_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that became root's, by sudo say: its deadline decides what follows."""

    def forbidden(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    async def run() -> None:
        async with watched("hold()") as bot:
            with monkeypatch.context() as patch:
                patch.setattr(signal, "pidfd_send_signal", forbidden)
                bot.child.terminate()
                bot.child.request_checkpoint()
                bot.child.kill()
            bot.child.kill()
            await bot.heard(ev.TreeGone)

    asyncio.run(run())


def test_to_look_at_a_lock_makes_none(tmp_path: Path) -> None:
    """Nobody holds what is not there; on a disk that became read-only that can be seen, too."""
    lock = OwnerLock(tmp_path / "sessions", "x")
    assert lock.free(1)
    assert lock.survivors() == ()
    assert not (tmp_path / "sessions").exists()
