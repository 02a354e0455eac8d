"""One bot in the loop's care, with real processes, when what is around it breaks."""

import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor import config
from supervisor.control.journal import Journal
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase
from supervisor.loop.charge import Charge
from supervisor.loop.desk import Desk, all_reach
from supervisor.loop.house import House
from supervisor.loop.jobs import Jobs
from supervisor.loop.printed import Outlets
from supervisor.loop.socket_folder import PREFIX as SOCKETS
from supervisor.runner import Supervisor
from supervisor.session import files
from supervisor.session.manager import SessionManager
from supervisor.watch.watcher import Change

pytestmark = pytest.mark.usefixtures("adopting")

READY = """
import os, signal, socket
with open(os.environ["STILLHERE_SESSION_DIR"] + "/keys.json", "w") as file:
    file.write("{}")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
print("ready", flush=True)
while True:
    signal.pause()
"""


def project(folder: Path, *, session: str = '"x"') -> config.Config:
    """A project with one bot."""
    (folder / "bot.py").write_text(READY)
    command = [sys.executable, "-I", "-S", "bot.py"]
    (folder / "config.toml").write_text(
        f"[bot.b]\ncommand = {command}\nsession = {session}\nready = 'notify'\nwatch = []\n"
    )
    return config.load(folder / "config.toml")


class Cared:
    """One bot, and what was written down of it."""

    def __init__(self, settings: config.Config, sockets: Path) -> None:
        self.events: list[str] = []
        self.sockets = sockets
        self.manager = SessionManager(
            settings.sessions, settings.snapshots, settings.state, owned=True
        )
        charges: dict[str, Charge] = {}
        self.desk = Desk(charges, Journal(None))
        house = House(
            config=settings,
            dev=False,
            control="",
            socket_dir=sockets,
            changed=lambda: None,
            reread=lambda: None,
            look=lambda: None,
            note=lambda _bot, event, _fields: self.events.append(event),
            outlets=Outlets(
                terminal=False,
                log=lambda *_: None,
                print=lambda *_: None,
                offer=self.desk.offer_line,
            ),
        )
        self.charge = charges["b"] = Charge(house, settings.bots["b"], self.manager)

    async def reach(self, phase: Phase) -> None:
        """Wait until the bot is there."""
        async with asyncio.timeout(15):
            await all_reach([self.charge], lambda state: state.phase is phase)


@asynccontextmanager
async def cared(folder: Path) -> AsyncIterator[Cared]:
    """Bring one bot up for the block, and down after it."""
    with tempfile.TemporaryDirectory(prefix="n") as name:
        bot = Cared(project(folder), Path(name) / "sockets")
        bot.charge.post(ev.StartRequested())
        await bot.reach(Phase.UP)
        try:
            yield bot
        finally:
            bot.charge.post(ev.StopRequested(hurry=True))
            await bot.reach(Phase.DOWN)
            await bot.charge.close()


def test_a_socket_folder_that_was_cleaned_away_is_made_again(tmp_path: Path) -> None:
    """What cleans the temporary directory goes by age, and a bot may run for weeks."""

    async def run() -> None:
        async with cared(tmp_path) as bot:
            shutil.rmtree(bot.sockets)
            bot.charge.post(ev.RestartRequested())
            async with asyncio.timeout(15):
                await all_reach(
                    [bot.charge], lambda state: state.phase is Phase.UP and state.current == 2
                )
            assert bot.sockets.stat().st_mode & 0o777 == 0o700
            files.sweep_scratch(bot.sockets.parent, bot.sockets.name)
            assert bot.sockets.is_dir()  # another supervisor takes it for no dead one's

    asyncio.run(run())


def test_a_session_that_comes_late_is_copied_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person links a bot long after it is up: not only the next periodic copy has it."""
    monkeypatch.setattr("supervisor.loop.charge.UNSEEN_S", 0.02)
    monkeypatch.setitem(globals(), "READY", READY.replace("keys.json", "../late.json"))

    async def run() -> None:
        async with cared(tmp_path) as bot, asyncio.timeout(15):
            while "session_unseen" not in bot.events:
                bot.charge.changed.clear()
                await asyncio.to_thread(threading.get_ident)
            assert "snapshot_taken" not in bot.events
            (tmp_path / "sessions" / "session-x" / "keys.json").write_text("{}")
            while "snapshot_taken" not in bot.events:
                await asyncio.to_thread(threading.get_ident)

    asyncio.run(run())


def test_an_effect_that_fails_unforeseen_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its phase has a deadline all the same, so no bot is forgotten for weeks."""

    async def run() -> None:
        async with cared(tmp_path) as bot:
            perform = bot.charge.hands.perform

            def broken(_effect: object) -> None:
                monkeypatch.setattr(bot.charge.hands, "perform", perform)
                raise RuntimeError("no one thought of this")

            monkeypatch.setattr(bot.charge.hands, "perform", broken)
            with pytest.raises(RuntimeError, match="thought of this"):
                bot.charge.post(ev.StopRequested(hurry=True))
            assert bot.charge.state.deadline is not None
            assert bot.charge._timer is not None

    asyncio.run(run())


def test_whoever_asked_is_told_whatever_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request never hangs: not even on an error that nobody thought of."""

    def broken(_id: str) -> str:
        raise RuntimeError("no one thought of this")

    async def run() -> None:
        async with cared(tmp_path) as bot:
            monkeypatch.setattr(bot.manager, "clear", broken)
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            with pytest.raises(RuntimeError, match="thought of this"):
                async with asyncio.timeout(15):
                    await bot.desk.call("session", {"op": "clear", "id": "x"})
            await bot.reach(Phase.BACKOFF)  # a service goes on with the session as it is

    asyncio.run(run())


def test_a_spawn_that_goes_wrong_in_any_way_is_a_failed_spawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine never waits for the end of a process that there is not."""

    def broken(*_: object) -> str:
        raise RuntimeError("no one thought of this")

    async def run() -> None:
        async with cared(tmp_path) as bot:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            with monkeypatch.context() as patch:
                patch.setattr(bot.charge.hands.starts, "list_changed", broken)
                bot.charge.post(ev.RestartRequested())
                await bot.reach(Phase.BACKOFF)
            assert bot.charge.state.current is None
            assert "spawn_failed" in bot.events

    asyncio.run(run())


def test_each_line_of_the_log_is_told_once(tmp_path: Path) -> None:
    """Also one that is printed while the earlier ones are being sent."""

    async def run() -> None:
        async with cared(tmp_path) as bot:
            while not bot.charge.printed.kept.tail(1):
                bot.charge.changed.clear()
                await asyncio.to_thread(threading.get_ident)
            lines = bot.desk.stream("logs", {"bot": "b", "follow": True, "lines": 10})
            told = [(await anext(lines))["line"]]
            for text in ("one", "two"):
                record = {"bot": "b", "generation": 1, "stream": "stdout", "line": text}
                bot.charge.printed.kept.add(record)
                bot.desk.offer_line(record)
            told += [(await anext(lines))["line"] for _ in range(2)]
            assert told == ["ready", "one", "two"]

    asyncio.run(run())


def jobs(report: Callable[..., None]) -> Jobs:
    """The jobs of a bot whose events nobody takes."""
    return Jobs("b", lambda _event: None, report)


def test_the_loop_goes_on_while_the_last_work_ends() -> None:
    """A person may still hurry; and what would never end is not waited for."""

    async def run() -> None:
        reports: list[Any] = []
        work = jobs(lambda *said, **fields: reports.append((said, fields)))
        release, never = threading.Event(), asyncio.Event()
        done: list[str] = []

        async def for_ever() -> None:
            try:
                await never.wait()
            finally:
                done.append("cancelled")

        def seal() -> None:
            release.wait(15)
            done.append("sealed")

        work.note(seal)
        work.task(for_ever())
        closing = asyncio.ensure_future(work.close())
        await asyncio.to_thread(threading.get_ident)  # the loop goes on
        assert not closing.done()
        release.set()
        async with asyncio.timeout(15):
            await closing
        assert done == ["cancelled", "sealed"]
        assert reports == []

    asyncio.run(run())


def test_what_cannot_be_shown_is_done_all_the_same(tmp_path: Path) -> None:
    """The console's bug is not the bots' end."""

    async def run() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        def console(event: dict[str, Any]) -> None:
            if event["event"] == "verified":
                supervisor.request_stop()
            raise ValueError(event["event"])

        supervisor = Supervisor(project(tmp_path), dev=False, console=console)
        async with asyncio.timeout(15):
            return await supervisor.run()

    assert asyncio.run(run()) == 0


def test_the_sockets_of_a_killed_supervisor_are_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those of one that runs are not."""
    settings = project(tmp_path)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        folder = Path(short, "stillhere")
        for name in ("dead", "alive"):
            (folder / f"{SOCKETS}{name}").mkdir(parents=True)
        held = files.hold(folder / f"{SOCKETS}alive")
        seen: list[set[str]] = []

        def console(event: dict[str, Any]) -> None:
            if event["event"] == "verified":
                seen.append({path.name for path in folder.glob(f"{SOCKETS}*")})
                supervisor.request_stop()

        async def run() -> int:
            async with asyncio.timeout(15):
                return await supervisor.run()

        supervisor = Supervisor(settings, dev=False, console=console)
        assert asyncio.run(run()) == 0
        os.close(held)
        (running,) = seen
        assert len(running) == 2
        assert f"{SOCKETS}alive" in running
        assert f"{SOCKETS}dead" not in running
        assert [path.name for path in folder.glob(f"{SOCKETS}*")] == [f"{SOCKETS}alive"]


def test_a_folder_that_cannot_be_made_is_no_bug_of_ours(tmp_path: Path) -> None:
    """It is said which, why, and where to look."""
    settings = project(tmp_path)
    settings.snapshots.write_text("a file")

    async def run() -> None:
        with pytest.raises(SupervisorError, match="cannot be made: File exists") as refusal:
            await Supervisor(settings, dev=False).run()
        assert "`snapshots`" in refusal.value.hint

    asyncio.run(run())


def test_survivors_that_never_go_are_not_looked_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the machine has given up, nobody walks through /proc fifty times a second."""

    async def run() -> None:
        async with cared(tmp_path) as bot:
            session, posted = bot.charge.hands.session, list[ev.Event]()
            monkeypatch.setattr(session, "_survivors", lambda: ([0], [7]))
            async with asyncio.timeout(15):
                await session.evict(1, posted.append, within_s=0.05, kill=False)
            assert posted == []

    asyncio.run(run())


class BrokenWatcher:
    """One that ends at once, by a bug."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def run(self, _emit: object) -> None:
        """End."""
        raise RuntimeError("no one thought of this")


def test_a_watcher_that_ends_is_told_and_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever saves files has to know that nobody looks any more."""

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with cared(tmp_path) as bot:
            watcher = BrokenWatcher()
            with monkeypatch.context() as patch:
                patch.setattr(bot.charge, "watcher", watcher)
                await bot.charge.watch()
            assert "watch_degraded" in bot.events
            assert watcher.ready.is_set()

    asyncio.run(run())


class Finds:
    """A watcher that finds one change right before a start, and at once hears that it settled."""

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._left = 1

    def check(self) -> Change | None:
        """Find it."""
        if not self._left:
            return None
        self._left -= 1
        now = time.monotonic()
        asyncio.get_running_loop().call_soon(self._charge._source_settled, now)
        return Change(("bot.py",), now, now, None)

    def sources(self) -> list[Path]:
        """Return none."""
        return []


def test_a_change_found_before_a_start_is_told_before_its_settling(tmp_path: Path) -> None:
    """Else it would be waited for until the next save."""

    async def run() -> None:
        async with cared(tmp_path) as bot:
            finds: Any = Finds(bot.charge)
            bot.charge.hands._tools.watcher = finds
            bot.charge.post(ev.RestartRequested())
            async with asyncio.timeout(15):  # the restart, and one more for the change
                await all_reach([bot.charge], lambda state: state.current == 3)
            await bot.reach(Phase.UP)
            assert not bot.charge.state.settling

    asyncio.run(run())
