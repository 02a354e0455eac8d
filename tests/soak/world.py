"""A service with several bots, as it stands for weeks: started again when it dies, talked to.

Faults come from `tests.soak.faults`; here is what they happen to, and what must hold at the end.
"""

import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from bot.phone_client import PhoneClient
from bot.phone_wire import PhoneError
from bot.server_store import ServerStore
from supervisor.core.errors import SupervisorError
from tests.system.harness import Folder, Running, end_all, processes_of

BOTS = 4
RECOVERY_S = 90.0
SETTLE_S = 120.0
CLOCK = Path(__file__).with_name("clockshift.c")

SIGHANG, SIGGROW, SIGEXIT = signal.SIGRTMIN + 3, signal.SIGRTMIN + 4, signal.SIGRTMIN + 5

# How a bot breaks, when it is told to: in the handlers, on the thread that does all its work.
FAULTY = f'''"""`!broken`: how this bot can be broken from outside, for the soak."""

import os
import signal

from bot.commands import Context

name = "broken"
help = "!broken: nothing"
_HOARD = []


def _hang(*_):
    while True:
        signal.pause()


def _grow(*_):
    _HOARD.append(bytearray(os.urandom(1)) * (200 << 20))


signal.signal({int(SIGHANG)}, _hang)
signal.signal({int(SIGGROW)}, _grow)
signal.signal({int(SIGEXIT)}, lambda *_: os._exit(7))


async def run(_ctx: Context, _args: str) -> str:
    """Answer."""
    return "no"
'''

CONFIG = """
[bot.b{n}]
command = ["python", "-m", "bot"]
session = "97150000000{n}"
stop_timeout_s = {stop_s}
start_timeout_s = 20

[bot.b{n}.snapshots]
every_s = 7

[bot.b{n}.restart]
policy = "always"
backoff_s = [0.1, 1]
intensity = [60, 60]

[bot.b{n}.limits]
memory_mb = 180
memory_grace_s = 1
watchdog_s = 3
"""


@dataclass(frozen=True, slots=True)
class Size:
    """What a supervisor holds. `pss_bytes`: with its share of what others map too."""

    pss_bytes: int
    descriptors: int
    threads: int


class World:
    """The service, its bots, their network and their one phone."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.folder = Folder(root, cache, self.config()).with_shipped_bot()
        self.folder.write("bot/commands/broken.py", FAULTY)
        self.names = [f"b{n}" for n in range(BOTS)]
        self.lives = 0
        self.upgrades = 0
        self.sizes: list[Size] = []
        self.sent: list[str] = []
        self.identities: dict[str, str] = {}
        self.supervisor: Running
        self.server: subprocess.Popen[bytes] | None = None
        self.phone: PhoneClient
        self._talking = threading.Event()
        self._tmp = root / "tmp"
        self._tmp.mkdir()
        network = cache / "network"  # not on our disk: it is full at times
        network.mkdir()
        self.folder.chat_data.symlink_to(network)
        self._clock = root / "clock"
        self._clock.write_bytes(struct.pack("q", 0))
        self._shim = build_shim(cache)

    @staticmethod
    def config(stop_s: int = 10) -> str:
        """Return the config; `stop_s` is a knob that a reload may turn."""
        return "".join(CONFIG.format(n=n, stop_s=stop_s) for n in range(BOTS))

    # Its parts.

    @contextmanager
    def standing(self) -> Iterator[Self]:
        """Run it all for the block; nothing is left behind."""
        with ExitStack() as stack:
            stack.callback(end_all, self.folder)
            stack.callback(self.stop_server)
            self.start_server()
            self.start_supervisor()
            self.phone = stack.enter_context(self.folder.phone())
            self._link_all()
            self._talking.set()
            talker = threading.Thread(target=self._talk, daemon=True)
            talker.start()
            stack.callback(talker.join, 30.0)
            stack.callback(self._talking.clear)
            yield self

    def start_supervisor(self) -> None:
        """Start it, as its manager does whenever it has died."""
        env = {"TMPDIR": str(self._tmp)}
        if self._shim is not None:
            env |= {"LD_PRELOAD": str(self._shim), "CLOCKSHIFT_FILE": str(self._clock)}
        os.environ["TMPDIR"] = str(self._tmp)  # the client looks for the socket there, too
        self.supervisor = Running(self.folder, "run", **env)
        self.supervisor._since = ""  # its clock may be set back: none of its lines is too old
        self.supervisor.wait("supervisor_started", pid=self.supervisor.process.pid)
        self.lives += 1

    def start_server(self) -> None:
        """Start the chat network."""
        self.server = subprocess.Popen(
            [sys.executable, "-m", "bot.server"],
            cwd=self.folder.root,
            env=self.folder.environment(),
            stdout=subprocess.PIPE,
        )
        assert self.server.stdout is not None
        assert b"listening" in self.server.stdout.readline()

    def stop_server(self) -> None:
        """SIGKILL it."""
        if self.server is not None:
            self.server.kill()
            self.server.wait(10)
            assert self.server.stdout is not None
            self.server.stdout.close()
            self.server = None

    @property
    def has_clock(self) -> bool:
        """Whether its wall clock can be set: a C compiler is there."""
        return self._shim is not None

    def set_clock(self, shift_s: int) -> None:
        """Set the wall clock of the supervisor and its bots so far off the true time."""
        with self._clock.open("r+b") as file:
            file.write(struct.pack("q", shift_s))

    def _link_all(self) -> None:
        for name in self.names:
            self.supervisor.wait("pairing", bot=name)
            for item in self.supervisor.client.stream("link", bot=name):
                self.phone.scan(item["qr"])
                break
        self.recovered("the first start")
        for name in self.names:
            self.identities[name] = self.status(name)["session"]["identity"]

    # What can be seen.

    def status(self, name: str) -> dict[str, Any]:
        """Return what `status --json` says of one bot; nothing while nobody answers."""
        try:
            found: dict[str, Any] = self.supervisor.client.call("status")["bots"][name]
        except SupervisorError:
            return {"phase": "unknown", "pid": None, "session": {}}
        return found

    def pid(self, name: str) -> int | None:
        """Return the pid of a bot's main process."""
        found: int | None = self.status(name)["pid"]
        return found

    def recovered(self, after: str) -> None:
        """Wait until every bot is up, or say what is in the way."""
        until = time.monotonic() + RECOVERY_S
        while True:
            states = {name: self.status(name) for name in self.names}
            if all(state["phase"] == "up" for state in states.values()):
                return
            if time.monotonic() > until:
                said = "\n".join(str(e)[:300] for e in self.supervisor.events[-60:])
                raise AssertionError(f"not up again after {after}: {states}\n{said}")
            self.supervisor.process_waits()

    def size(self) -> Size:
        """Return what the supervisor holds now."""
        process = psutil.Process(self.supervisor.process.pid)
        memory = process.memory_full_info()
        return Size(memory.pss, process.num_fds(), process.num_threads())

    # What people do meanwhile.

    def _talk(self) -> None:
        chance = random.Random(1)  # noqa: S311 - no secret
        phone = PhoneClient(self.folder.chat_data, acknowledge="own")
        devices = [identity.partition(":")[0] for identity in self.identities.values()]
        pause = threading.Event()
        while self._talking.is_set():
            try:
                self.sent.append(phone.send("!ping", device=chance.choice(devices)))
            except PhoneError:
                pause.wait(0.2)  # the network is down; nothing was sent
            pause.wait(0.1)
        phone.close()

    def quiet(self) -> None:
        """Let people fall silent."""
        self._talking.clear()

    # What must hold.

    def judge(self) -> dict[str, Any]:
        """Check all promises at the end; return the figures."""
        self.recovered("everything")
        stats = self._answered()
        assert stats["answered"] == stats["messages"] >= len(self.sent)
        assert (stats["answered_twice"], stats["undecryptable"]) == (0, 0)
        counters: Counter[str] = Counter()
        for n, name in enumerate(self.names):
            info = self.folder.json("session", "info", f"97150000000{n}")
            assert info["identity"] == self.identities[name]
            assert (info["link_count"], info["qr_count"]) == (1, 1), name
            assert any(s["verdict"] == "good" for s in info["snapshots"])
            counters["restores"] += info["restore_count"]
            counters["rollbacks"] += info["rollback_count"]
        size = self.size()
        running = {pid for pid, _ in processes_of(self.folder)}
        ours = {self.supervisor.process.pid, *(self.pid(name) for name in self.names)}
        assert self.server is not None
        assert running == {*ours, self.server.pid}
        assert self.supervisor.stop() == 0
        left = [path.name for path in self._tmp.iterdir()]
        assert all(name.startswith("stillhere-") for name in left), left
        return {"messages": len(self.sent), "size": size, "stats": dict(stats), **counters}

    def _answered(self) -> dict[str, Any]:
        until = time.monotonic() + SETTLE_S
        while True:
            with closing(ServerStore(self.folder.chat_data / "server.db")) as store:
                stats = dict(store.stats())
            if stats["answered"] == stats["messages"]:
                return stats
            assert time.monotonic() < until, f"messages without an answer: {stats}"
            self.supervisor.process_waits()


def build_shim(folder: Path) -> Path | None:
    """Compile what shifts the clock; None without a compiler."""
    target = folder / "clockshift.so"
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(target), str(CLOCK)]
    try:
        done = subprocess.run(words, check=False)
    except FileNotFoundError:
        return None
    return target if done.returncode == 0 else None
