"""What the manager above us is told, read from a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from supervisor.service.standing import Standing
from supervisor.service.systemd.upward import Upward

WAIT_S = 10.0
DONE = Standing(settled=True, line="1 online")
TO_COME = Standing(settled=False, line="0 online")


@contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
        yield listener


@asynccontextmanager
async def telling(
    path: Path, first: Standing, **env: str
) -> AsyncIterator[tuple[Upward, list[Standing]]]:
    """Run one, which says what stands in the list."""
    stands = [first]
    upward = Upward(lambda: stands[0], patience_s=3600, environ={"NOTIFY_SOCKET": str(path), **env})
    upward.start()
    try:
        yield upward, stands
    finally:
        upward.close()


def arrived(listener: socket.socket) -> bytes | None:
    """Return the next datagram; None: none came for six periods of the watchdog."""
    try:
        return listener.recv(65536)
    except TimeoutError:
        return None


async def told(listener: socket.socket, word: str) -> list[str]:
    """Return what is said until `word`, that one included. Timeouts have no part in the story."""
    lines: list[str] = []
    async with asyncio.timeout(WAIT_S):
        while word not in lines:
            data = await asyncio.get_running_loop().sock_recv(listener, 65536)
            lines += data.decode().split("\n")
    return [line for line in lines if not line.startswith("EXTEND_TIMEOUT_USEC=")]


def test_ready_comes_once_all_are_settled(tmp_path: Path) -> None:
    """Not before; and then the line with it."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", TO_COME) as (upward, stands):
                assert await told(listener, "STATUS=0 online") == ["STATUS=0 online"]
                stands[0] = DONE
                upward.look()
                upward.look()
                assert await told(listener, "STATUS=1 online") == ["READY=1", "STATUS=1 online"]
                stands[0] = Standing(settled=True, line="2 online")
                upward.look()
                assert await told(listener, "STATUS=2 online") == ["STATUS=2 online"]

    asyncio.run(story())


def test_while_bots_start_or_stop_the_timeout_is_put_off(tmp_path: Path) -> None:
    """A start of a minute is none that hangs; once ready, nothing is put off."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", TO_COME) as (upward, _):
                async with asyncio.timeout(WAIT_S):
                    data = await asyncio.get_running_loop().sock_recv(listener, 65536)
                assert data == b"EXTEND_TIMEOUT_USEC=20000000"
                upward.stopping()
                assert "STOPPING=1" in await told(listener, "STOPPING=1")

    asyncio.run(story())


def test_pings_come_only_from_a_loop_that_turns(tmp_path: Path) -> None:
    """Two come by themselves; none while the loop is held up."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", DONE, WATCHDOG_USEC="30000"):
                await told(listener, "WATCHDOG=1")
                await told(listener, "WATCHDOG=1")
                listener.setblocking(True)  # noqa: FBT003 - here we are the loop, and hold it up
                listener.settimeout(0.2)
                assert sum(1 for _ in iter(partial(arrived, listener), None)) <= 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "env", [{"WATCHDOG_USEC": "30000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}, {}]
)
def test_no_pings_where_nobody_asked_us_for_them(env: dict[str, str]) -> None:
    """WATCHDOG_PID may name another process (sd_watchdog_enabled(3))."""
    assert Upward(lambda: DONE, patience_s=1, environ=env).watchdog_s is None


def test_ready_comes_after_all_when_patience_ends(tmp_path: Path) -> None:
    """One bot that never comes up must not keep the unit from being started."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            env = {"NOTIFY_SOCKET": str(tmp_path / "s")}
            upward = Upward(lambda: TO_COME, patience_s=0.05, environ=env)
            upward.start()
            assert "READY=1" in await told(listener, "READY=1")
            upward.close()

    asyncio.run(story())


def test_a_reload_is_framed(tmp_path: Path) -> None:
    """As systemd.service(5) wants it of Type=notify-reload: with the instant."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", DONE) as (upward, stands):
                await told(listener, "STATUS=1 online")
                upward.reloading()
                stands[0] = Standing(settled=True, line="2 online")
                upward.look()
                lines = await told(listener, "STATUS=2 online")
                assert lines[0] == "RELOADING=1"
                assert lines[1].startswith("MONOTONIC_USEC=")
                assert "READY=1" not in lines
                upward.ready_again()
                assert await told(listener, "READY=1") == ["READY=1"]

    asyncio.run(story())


def test_a_reload_while_bots_start_makes_nothing_ready(tmp_path: Path) -> None:
    """READY still comes with the last bot, and not twice: before the reload's end, or after."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", TO_COME) as (upward, stands):
                upward.reloading()
                upward.ready_again()
                assert "READY=1" not in await told(listener, "STATUS=0 online")
                upward.reloading()
                stands[0] = DONE
                upward.look()
                assert "READY=1" not in await told(listener, "STATUS=1 online")
                upward.ready_again()
                assert await told(listener, "READY=1") == ["READY=1"]

    asyncio.run(story())


def test_while_a_reload_stops_bots_the_timeout_is_put_off(tmp_path: Path) -> None:
    """Systemd gives a reload the time of a start; stopping a bot may take longer."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", DONE) as (upward, _):
                await told(listener, "STATUS=1 online")
                upward.reloading()
                async with asyncio.timeout(WAIT_S):
                    heard = [
                        await asyncio.get_running_loop().sock_recv(listener, 999) for _ in "12"
                    ]
                assert heard[1].startswith(b"EXTEND_TIMEOUT_USEC=")

    asyncio.run(story())


def test_what_does_not_fit_is_said_later(tmp_path: Path) -> None:
    """A manager that is busy loses nothing, and does not hold us up."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", DONE) as (upward, _):
                await told(listener, "STATUS=1 online")
                for _ in range(100):
                    upward.reloading()
                upward.ready_again()
                lines = await told(listener, "READY=1")
                assert lines.count("RELOADING=1") == 100

    asyncio.run(story())


def test_where_nobody_reads_only_the_newest_line_waits(tmp_path: Path) -> None:
    """For weeks, as where a container's runtime gives us a socket: nothing piles up."""

    async def story() -> None:
        with manager(tmp_path / "s") as listener:
            async with telling(tmp_path / "s", DONE) as (upward, stands):
                for number in range(1000):
                    stands[0] = Standing(settled=True, line=f"{number} online")
                    upward.look()
                    upward._look()
                assert len(upward._unsaid) < 5
                assert "READY=1" in await told(listener, "STATUS=999 online")

    asyncio.run(story())


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_manager_it_is_silent(address: str) -> None:
    """And harmless."""

    async def story() -> None:
        upward = Upward(lambda: DONE, patience_s=1, environ={"NOTIFY_SOCKET": address})
        upward.start()
        upward.stopping()
        upward.close()
        assert upward.present == address.startswith("/")

    asyncio.run(story())


def test_an_abstract_socket_is_found() -> None:
    """`@name`: systemd uses those, too."""
    found = Upward(lambda: DONE, patience_s=1, environ={"NOTIFY_SOCKET": "@x/y"})
    assert found._address == "\0x/y"
