"""New code that can't start, and new code that starts too much: the old bot is not to suffer."""

import pytest

from tests.system.harness import Folder, answer, running

PING = "bot/commands/ping.py"
MAIN = "bot/main.py"
TRESPASS = "bot/trespass.py"
BEFORE_STANDBY = "    stopped = loop.create_task(stop.wait())\n"
STILL_ONLINE = "the old bot is still online; save the fix to go on"

# A standby that logs in before it is told to. Started cold, it waits like any other bot.
SILENT = '''
import os
from pathlib import Path

from bot.protocol import data_dir
from bot.transports.local import LocalTransport

TEXT = "pong 1"


class Nobody:
    """A host that tells its supervisor nothing."""

    folder = Path("sessions", "session-" + os.environ["STILLHERE_SESSION_ID"])
    generation = int(os.environ["STILLHERE_GENERATION"])
    store = None

    def state(self, *_args, **_more):
        pass

    online = undecryptable = qr = state


async def trespass(_link):
    if "STILLHERE_SESSION_DIR" not in os.environ:
        await LocalTransport(Nobody(), data_dir()).run()
'''
SAYING = """
import asyncio
import os

TEXT = "pong 1"


async def trespass(link):
    if "STILLHERE_SESSION_DIR" not in os.environ:
        link.session("connecting")
        await asyncio.Event().wait()
"""
WAITING = """
TEXT = "pong {number}"


async def trespass(_link):
    pass
"""


def line_of(text: str, part: str) -> int:
    """Return the number of the line with that part."""
    return text[: text.index(part)].count("\n") + 1


def test_code_that_cannot_start_leaves_the_old_bot_online(linked: Folder) -> None:
    """Syntax error, import error, exception: old bot online, console says where; a fix goes on."""
    ping, main = ((linked.root / name).read_text() for name in (PING, MAIN))
    cases = [
        (
            *(PING, ping.replace('return "pong"', 'return ("pong"'), "preflight_failed"),
            *("return (", "SyntaxError: '(' was never closed"),
        ),
        (
            *(PING, ping.replace("from bot", "import no_such\nfrom bot", 1), "standby_failed"),
            *("import no_such", "ModuleNotFoundError: No module named 'no_such'"),
        ),
        (
            *(MAIN, main.replace(BEFORE_STANDBY, '    raise RuntimeError("boom")\n')),
            *("standby_failed", "raise RuntimeError", "RuntimeError: boom"),
        ),
    ]
    with running(linked) as supervisor:
        supervisor.restarted(0)
        with linked.phone() as phone:
            for number, (name, wrong, event, _, _) in enumerate(cases):
                before = supervisor.status()
                mark = supervisor.mark_now()
                linked.write(name, wrong)
                supervisor.wait(event, mark, bot="echo")
                supervisor.wait("held", mark, bot="echo")
                now = supervisor.status()
                for key in ("pid", "generation", "phase"):
                    assert now[key] == before[key]
                assert now["phase"] == "up"
                assert answer(phone) == ("pong" if number == 0 else f"pong {number - 1}")

                mark = supervisor.mark_now()
                linked.write(PING, ping.replace("pong", f"pong {number}"))
                if name != PING:
                    supervisor.wait("held", mark, bot="echo")  # another save is no cure
                    linked.write(MAIN, main)
                assert supervisor.restarted(mark)["proof"] == "roundtrip"
                assert answer(phone) == f"pong {number}"
                assert supervisor.status()["restarts"] == number + 1
        assert not supervisor.seen("pairing")
        assert supervisor.stop() == 0
    told = supervisor.console.splitlines()
    for name, wrong, _, part, text in cases:
        place = f" {name}:{line_of(wrong, part)}: {text}"
        found = [number for number, line in enumerate(told) if line.endswith(place)]
        assert len(found) == (1 if name == PING else 2), f"{place}:\n{supervisor.console}"
        assert all(told[number + 1].endswith(STILL_ONLINE) for number in found)


@pytest.mark.parametrize(("code", "did"), [(SILENT, "conflict"), (SAYING, "connecting")])
def test_a_trespasser_is_killed_and_comes_up_cold(linked: Folder, code: str, did: str) -> None:
    """A standby that connects too early is killed; that is no foreign copy, and it starts cold."""
    main = (linked.root / MAIN).read_text()
    early = "    from bot.trespass import trespass\n    await trespass(link)\n"
    linked.write(MAIN, main.replace(BEFORE_STANDBY, early + BEFORE_STANDBY))
    linked.write(TRESPASS, WAITING.format(number=0))
    ping = (linked.root / PING).read_text().replace('"pong"', "TEXT")
    linked.write(PING, ping.replace("from bot", "from bot.trespass import TEXT\nfrom bot", 1))
    before = linked.info()
    with running(linked) as supervisor:
        supervisor.restarted(0)
        with linked.phone() as phone:
            assert answer(phone) == "pong 0"
            mark = supervisor.mark_now()
            linked.write(TRESPASS, code)
            told = supervisor.wait("trespass", mark)
            record = supervisor.restarted(mark)
            assert told["did"] == did
            assert record["generation"] == told["generation"] + 1
            assert (record["mode"], record["proof"]) == ("cold", "roundtrip")
            assert answer(phone) == "pong 1"

            # The cure: code that waits for its turn stands by again.
            mark = supervisor.mark_now()
            linked.write(TRESPASS, WAITING.format(number=2))
            record = supervisor.restarted(mark)
            assert (record["mode"], record["proof"]) == ("standby", "roundtrip")
            assert answer(phone) == "pong 2"
        for event in ("conflict", "failed", "backoff", "pairing", "session_restored"):
            assert not supervisor.seen(event), event
        assert not supervisor.seen("activated", generation=told["generation"])
        assert supervisor.stop() == 0
    session = linked.info()
    assert session["identity"] == before["identity"]
    assert session["restore_count"] == before["restore_count"] + 3
    assert (session["link_count"], session["qr_count"]) == (1, 1)
    assert session["rollback_count"] == 0
    said = f"generation {told['generation']} did not wait for its turn: {did}: killed"
    assert said in supervisor.console
    assert "a standby must not connect before `activate`" in supervisor.console
    conflicts = linked.server_log("conflict")
    assert [entry["generation"] for entry in conflicts] == (
        [told["generation"]] if did == "conflict" else []
    )
