"""What goes wrong in weeks: each a function that does it once, to a world that must recover."""

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from supervisor.core.errors import SupervisorError
from tests.soak.world import SIGEXIT, SIGGROW, SIGHANG, World

Fault = Callable[[World, random.Random], None]
_BRIEF_S = 1.0


def _send(world: World, chance: random.Random, number: int) -> None:
    pid = world.pid(chance.choice(world.names))
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def a_bot_is_killed(world: World, chance: random.Random) -> None:
    """As the kernel does when memory is short."""
    _send(world, chance, signal.SIGKILL)


def a_bot_exits(world: World, chance: random.Random) -> None:
    """With a status, in the middle of its work."""
    _send(world, chance, SIGEXIT)


def a_bot_hangs(world: World, chance: random.Random) -> None:
    """It lives, and does nothing any more: the watchdog's."""
    _send(world, chance, SIGHANG)


def a_bot_grows(world: World, chance: random.Random) -> None:
    """Past its limit."""
    _send(world, chance, SIGGROW)


def the_supervisor_is_killed(world: World, _chance: random.Random) -> None:
    """Its manager starts it again."""
    world.sizes.append(world.size())
    world.supervisor.kill()
    world.start_supervisor()


def the_supervisor_stands_still(world: World, _chance: random.Random) -> None:
    """A machine that sleeps, and wakes up."""
    pid = world.supervisor.process.pid
    os.kill(pid, signal.SIGSTOP)
    _wait(4.0)
    os.kill(pid, signal.SIGCONT)


def the_disk_is_full(world: World, _chance: random.Random) -> None:
    """For a while; a backup that is asked for meanwhile fails, and says so."""
    ballast = world.folder.root / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * (1 << 20))
    with suppress(SupervisorError):
        world.supervisor.client.call("session", op="backup", id="971500000000")
    _wait(_BRIEF_S)
    ballast.unlink()


def the_config_is_unreadable(world: World, chance: random.Random) -> None:
    """A reload refuses it; the next one takes what is well again, with a knob turned."""
    mark = world.supervisor.mark()
    world.folder.replace("config.toml", "[bot.b0\ncommand = 7")
    world.supervisor.process.send_signal(signal.SIGHUP)
    world.supervisor.wait("reload_refused", mark)
    world.folder.replace("config.toml", world.config(stop_s=chance.randint(5, 15)))
    world.supervisor.process.send_signal(signal.SIGHUP)
    world.supervisor.wait("reloaded", mark)


def the_network_is_down(world: World, chance: random.Random) -> None:
    """The chat server is killed, and comes back."""
    world.stop_server()
    _wait(chance.choice([0.1, 1.0, 5.0]))
    world.start_server()


def the_clock_jumps(world: World, chance: random.Random) -> None:
    """By up to three days, either way."""
    world.set_clock(chance.randint(-3 * 86_400, 3 * 86_400))


def somebody_restarts(world: World, chance: random.Random) -> None:
    """By hand."""
    world.supervisor.client.call("restart", bot=chance.choice(world.names), wait=False)


def somebody_upgrades(world: World, _chance: random.Random) -> None:
    """In place. Where bots come and go all the time it may be refused; nothing is changed then."""
    refused = ""
    try:
        world.supervisor.client.call("upgrade")
    except SupervisorError as error:
        refused = f"{error.message}; {error.hint}"
    assert not refused or "nothing was changed" in refused, refused
    world.upgrades += not refused


# How often each comes, beside the others.
WEIGHTS: dict[Fault, int] = {
    a_bot_is_killed: 8,
    a_bot_exits: 8,
    a_bot_hangs: 4,
    a_bot_grows: 4,
    the_supervisor_is_killed: 2,
    the_supervisor_stands_still: 1,
    the_disk_is_full: 3,
    the_config_is_unreadable: 3,
    the_network_is_down: 3,
    the_clock_jumps: 4,
    somebody_restarts: 4,
    somebody_upgrades: 3,
}
