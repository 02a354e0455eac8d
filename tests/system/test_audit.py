"""Snapshots are proved while a real bot runs: on request, daily, weekly; and never in its way."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from supervisor.control.client import Client
from tests.system.gates import Gate
from tests.system.harness import PHONE, Folder, running


def flip_all(folder: Folder) -> None:
    """Change one byte in the middle of each pack."""
    for path in (folder.root / ".session-cache" / "packs").iterdir():
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        path.write_bytes(raw)


def save(folder: Folder, text: str) -> None:
    """Save a command of the bot."""
    path = folder.root / "bot" / "commands" / "ping.py"
    path.write_text(path.read_text() + f"\n# {text}\n")


def test_a_restart_is_not_held_up_by_a_long_check(linked: Folder) -> None:
    """Asked for in the middle of one: the bot is back before the rest of the store is read.

    The check goes on then, and the one who asked gets all of it.
    """
    linked.module = "tests.system.gated_supervisor"
    with running(linked) as supervisor, ThreadPoolExecutor(1) as thread:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        client = Client.for_config(linked.root / "config.toml")
        with Gate(linked, "auditing") as gate:
            asked = thread.submit(client.call, "session", op="check", id=PHONE)
            gate.reached()
            save(linked, "one more line")
            supervisor.wait("standby_waiting", mark)
        assert supervisor.restarted(mark)["mode"] == "standby"
        found = asked.result(20)
        supervisor.wait("snapshots_checked", mark)
        order = [e["event"] for e in supervisor.events[mark:]]
        assert order.index("restarted") < order.index("snapshots_checked")
        assert found["ok"]
        assert found["hot"]
        assert len(found["snapshots"]) > 1


def test_damage_found_on_request_heals_with_the_next_snapshot(linked: Folder) -> None:
    """The supervisor reads, writes it down, and builds on none of it; the exit code tells."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        done = linked.stillhere("session", "check", "--json")
        assert done.returncode == 0, done.stderr
        mark = supervisor.mark_now()
        flip_all(linked)
        done = linked.stillhere("session", "check", "--json")
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)
        assert found["written_down"]
        assert found["verdict"] == "passed"
        lost = [one["id"] for one in found["snapshots"] if one["verdict"] == "bad"]
        assert lost
        assert supervisor.wait("snapshots_checked", mark)["damaged"] == found["damaged"]
        assert linked.stillhere("session", "backup").returncode == 0
        after = linked.stillhere("session", "check", "--json")
        assert after.returncode == 0, after.stdout
        assert json.loads(after.stdout)["snapshots"][-1]["restorable"]
        supervisor.shows("no good copies any more")


def test_a_service_checks_heals_and_drills_by_itself(linked: Folder) -> None:
    """Nobody asks: damage is found, said, and healed at once; a restore of that is proved."""
    linked.module = "tests.system.hasty_supervisor"
    with running(linked, "run") as supervisor:
        supervisor.restarted(0)
        assert supervisor.wait("snapshots_checked")["damaged"] == []
        supervisor.wait("drill_passed")
        mark = supervisor.mark_now()
        flip_all(linked)
        found = supervisor.wait_for(
            lambda e: e["event"] in ("snapshots_checked", "drill_failed") and bool(bad(e)),
            mark,
            20.0,
            "damage",
        )
        assert bad(found)
        healed = supervisor.wait_for(
            lambda e: e["event"] == "snapshot_taken" and e["snapshot"]["reason"] == "healed",
            mark,
            20.0,
            "healing",
        )["snapshot"]
        mark = supervisor.mark_now()
        assert supervisor.wait("drill_passed", mark)["snapshot"] == healed["id"]
        supervisor.wait("snapshots_checked", mark, damaged=[])
        supervisor.shows("restore drill passed")
        record = json.loads((linked.root / "session-state.json").read_text())["sessions"][PHONE]
        assert record["checked_at"]
        assert record["drilled_at"]
        scratch = linked.root / ".session-cache" / "tmp"
    assert not leftovers(scratch)


def bad(event: dict[str, object]) -> object:
    """Return what an event says against a snapshot."""
    return event.get("damaged") or event.get("why")


def leftovers(folder: Path) -> list[str]:
    """Return what is left of scratch folders."""
    return [path.name for path in folder.iterdir() if path.is_dir()]
