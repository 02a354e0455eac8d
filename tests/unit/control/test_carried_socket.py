"""The control socket outlives the program: nobody is turned away, and who asked is answered."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from supervisor.control.server import Carried, ControlServer
from supervisor.core.errors import SupervisorError
from tests.unit.control.fake_runner import FakeRequests

WAIT_S = 10.0


class Upgrading(FakeRequests):
    """Answers an upgrade as a program that is replaced: never, or with a refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for_it = asyncio.Event()
        self.refuse = asyncio.Event()

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Wait in an upgrade."""
        if command != "upgrade":
            return await super().call(command, args)
        self.asked_for_it.set()
        await self.refuse.wait()
        raise SupervisorError("not now")


class Asker:
    """A connection of ours, with its waits bounded."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.reader, self.writer = streams

    @classmethod
    async def at(cls, path: Path, command: str, **args: Any) -> "Asker":
        """Connect, and ask."""
        asker = cls(await asyncio.open_unix_connection(path))
        line = {"command": command, "args": args}
        asker.writer.write(json.dumps(line).encode() + b"\n")
        return asker

    async def line(self) -> Any:
        """Return the next answer."""
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.reader.readline())

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        await self.writer.wait_closed()


def again(carried: Carried) -> Carried:
    """Return it with descriptors of its own: this process has the old server still."""
    asker = None if carried.asker is None else os.dup(carried.asker)
    return replace(
        carried, listener=os.dup(carried.listener), lock=os.dup(carried.lock), asker=asker
    )


def test_the_next_program_answers_and_listens_on(tmp_path: Path) -> None:
    """Who asked for the upgrade hears of its outcome; who connects between is served after it."""

    async def story() -> None:
        path = tmp_path / "c" / "x.sock"
        fake = Upgrading()
        old = ControlServer(path, fake, close_s=1.0)
        assert old.carry() is None, "it does not listen yet"
        await old.start()
        try:
            found = old.carry()
            assert found is not None
            assert found.asker is None
            follower = await Asker.at(path, "logs", bot=None, follow=True)
            assert await follower.line() == {"item": {"n": 1}}
            asker = await Asker.at(path, "upgrade")
            await fake.asked_for_it.wait()
            assert old.calls == 1, "who follows does not count"
            await old.part()
            assert await follower.line() == {"end": True}
            assert old.calls == 1
            found = old.carry()
            assert found is not None
            assert found.asker is not None
            assert set(found.descriptors()) == {found.listener, found.lock, found.asker}
            asyncio.get_running_loop().remove_reader(found.listener)  # its program is gone
            between = await Asker.at(path, "status")
            new = ControlServer(path, FakeRequests(), close_s=1.0)
            await new.start(again(found))
            new.answer_carried({"to": "2.0"})
            assert await asker.line() == {"ok": True, "result": {"to": "2.0"}}
            assert await between.line() == {"ok": True, "result": {"echo": {}}}
            for each in (follower, asker, between):
                await each.close()
            assert path.exists()
            await new.close()
            assert not path.exists(), "it is the new one's to remove"
        finally:
            fake.refuse.set()
            await old.close()

    asyncio.run(story())


def test_an_upgrade_that_is_refused_is_told_by_the_old_program(tmp_path: Path) -> None:
    """All is as before: it listens on, and a next one can be asked for."""

    async def story() -> None:
        path, fake = tmp_path / "c" / "x.sock", Upgrading()
        async with ControlServer(path, fake, close_s=1.0) as server:
            for _ in range(2):
                fake.asked_for_it.clear()
                fake.refuse.clear()
                asker = await Asker.at(path, "upgrade")
                await fake.asked_for_it.wait()
                await server.part()
                fake.refuse.set()
                answer = await asker.line()
                assert answer == {"ok": False, "error": {"message": "not now", "hint": ""}}
                await asker.close()
                found = server.carry()
                assert found is not None
                assert found.asker is None
            status = await Asker.at(path, "status")
            assert (await status.line())["ok"]
            await status.close()

    asyncio.run(story())


def test_who_hung_up_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    """The upgrade is done all the same; nor is anybody told where nobody asked."""

    async def story() -> None:
        path, fake = tmp_path / "c" / "x.sock", Upgrading()
        old = ControlServer(path, fake, close_s=1.0)
        await old.start()
        asker = await Asker.at(path, "upgrade")
        await fake.asked_for_it.wait()
        found = old.carry()
        assert found is not None
        carried = again(found)
        asyncio.get_running_loop().remove_reader(found.listener)
        await asker.close()
        for each in (carried, again(replace(found, asker=None))):
            new = ControlServer(path, FakeRequests(), close_s=1.0)
            await new.start(each)
            new.answer_carried({"large": "x" * (1 << 22)})
            status = await Asker.at(path, "status")
            assert (await status.line())["ok"]
            await status.close()
            # Not closed in good order: the socket's file is the next one's.
            assert new._looking is not None
            new._looking.cancel()
            asyncio.get_running_loop().remove_reader(each.listener)
            assert new._listener is not None
            new._listener.close()
            os.close(each.lock)
        fake.refuse.set()
        await old.close()

    asyncio.run(story())
