"""A session survives damage, loss and power cuts: the same device, and nothing thrown away."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.harness import PHONE, Folder, link, processes_of, running
from tests.system.sessions import (
    delete,
    empty,
    info,
    manager,
    pairs,
    quarantined,
    recovers,
    truncate,
)


# `verify` of the bot that ships has every file in every way; the others are in the long run.
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("creds.json", delete),
        ("store.db", truncate),
        *(
            pytest.param(name, damage, marks=pytest.mark.long)
            for name, damage in (
                ("creds.json", empty),
                ("creds.json", truncate),
                ("store.db", delete),
                ("store.db", empty),
            )
        ),
    ],
)
def test_a_damaged_file_comes_back_from_the_newest_snapshot(
    linked: Folder, name: str, damage: Callable[[Path], None]
) -> None:
    """Deleted, emptied or truncated: recovered before the bot starts, no QR, nothing is lost."""
    before = info(linked)
    damage(linked.session / name)
    found = {p.name: p.read_bytes() for p in linked.session.iterdir()}
    recovers(linked, before)
    held = quarantined(linked)
    assert [item["why"] for item in held] == ["damaged"]
    target = manager(linked).export(PHONE, linked.root / "aside", held[0]["name"])
    assert {p.name: p.read_bytes() for p in target.iterdir()} == found


def test_a_deleted_folder_comes_back_from_the_newest_snapshot(linked: Folder) -> None:
    """The whole folder deleted, and then all of sessions/: the same, with nothing to put aside."""
    before = info(linked)
    delete(linked.session)
    after = recovers(linked, before)
    assert after["quarantine"] == []
    delete(linked.session.parent)
    before = info(linked)
    with running(linked, "run") as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        assert not supervisor.seen("pairing")
        assert info(linked)["rollback_count"] == before["rollback_count"] + 1


def test_a_folder_deleted_under_a_running_bot_holds_no_restart(linked: Folder) -> None:
    """There is nothing left to copy, so a save goes on: the newest snapshot, the same device."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        before = info(linked)
        delete(linked.session)
        mark = supervisor.mark_now()
        assert linked.stillhere("restart", "echo").returncode == 0
        record = supervisor.restarted(mark)
        assert (record["proof"], record["rolled_back"]) == ("roundtrip", True)
        assert not supervisor.seen("pairing")
        assert not supervisor.seen("snapshot_failed")
    after = info(linked)
    assert after["identity"] == before["identity"]
    assert after["rollback_count"] == before["rollback_count"] + 1


@pytest.mark.parametrize(("name", "damage"), [("creds.json", delete), ("store.db", truncate)])
def test_damage_by_a_power_cut(linked: Folder, name: str, damage: Callable[[Path], None]) -> None:
    """Supervisor and bot gone at once, and a file with them: recovered in the same way."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        os.kill(supervisor.process.pid, signal.SIGSTOP)
        for pid, _ in processes_of(linked):
            if pid != supervisor.process.pid:
                os.kill(pid, signal.SIGKILL)
        supervisor.kill()
    before = info(linked)
    damage(linked.session / name)
    recovers(linked, before)
    assert [item["why"] for item in quarantined(linked)] == ["damaged"]


def test_with_the_store_gone_the_link_waits_until_it_is_given_up(linked: Folder) -> None:
    """It may come back: said clearly, nothing is ended. `session clear` leads to a QR code."""
    truncate(linked.session / "store.db")
    found = {p.name: p.read_bytes() for p in linked.session.iterdir()}
    delete(linked.root / ".session-cache")
    with running(linked) as supervisor:
        supervisor.wait("failed", bot="echo")
        supervisor.shows("are not there any more")
        supervisor.shows(f"stillhere session clear {PHONE}")
        assert not supervisor.seen("spawned", bot="echo")
        assert not supervisor.seen("pairing")
        assert {p.name: p.read_bytes() for p in linked.session.iterdir()} == found
        mark = supervisor.mark_now()
        cleared = linked.stillhere("session", "clear", "--yes")
        assert cleared.returncode == 0, cleared.stderr
        pairs(supervisor, mark)
        held = quarantined(linked)
        assert len(held) == 1
        assert {p.name: p.read_bytes() for p in Path(held[0]["path"]).iterdir()} == found
        with link(supervisor) as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
    assert info(linked)["link_count"] == 2


def test_with_the_store_gone_a_whole_session_runs_on(linked: Folder) -> None:
    """It is said, and snapshots are begun anew with a higher number."""
    before = info(linked)["snapshots"][-1]["seq"]
    delete(linked.root / ".session-cache")
    with running(linked) as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        supervisor.shows(f"the snapshots up to {before} are not there any more")
    after = info(linked)
    assert after["link_count"] == 1
    assert after["restorable"]
    assert after["snapshots"][0]["seq"] == before + 1


def test_where_the_packs_are_away_the_link_waits_for_them(linked: Folder) -> None:
    """A disk that is not mounted: nothing is given up, and all is well when it is back."""
    before = info(linked)
    truncate(linked.session / "store.db")
    packs = linked.root / ".session-cache" / "packs"
    away = packs.rename(linked.root / "away")
    with running(linked) as supervisor:
        supervisor.shows("mount it or put it back")
        assert not [e for e in supervisor.seen("spawned") if e["bot"] == "echo"]
        assert not supervisor.seen("pairing")
        assert quarantined(linked) == []
    away.rename(packs)
    recovers(linked, before)


def test_a_torn_state_file_is_kept_said_and_rebuilt(linked: Folder) -> None:
    """Counters and epoch come again from the snapshots; nobody scans anything."""
    before = info(linked)
    state = linked.root / "session-state.json"
    state.write_text("{torn")
    with running(linked) as supervisor:
        aside = Path(supervisor.wait("state_rebuilt")["aside"])
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        assert not supervisor.seen("pairing")
        supervisor.shows("session-state.json could not be read")
    assert aside.read_text() == "{torn"
    after = info(linked)
    assert (after["identity"], after["epoch"]) == (before["identity"], before["epoch"])
    assert after["link_count"] == before["link_count"] == 1
