"""A session survives its files: damage, loss, power cuts; and what was ended stays ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor import SessionManager
from supervisor.core.errors import SessionBusy
from supervisor.session.model import NothingToRestore
from tests.system.harness import (
    PHONE,
    Folder,
    Running,
    link,
    processes_of,
    running,
)

INFO = {
    *("id", "path", "exists", "restorable", "why_not", "state", "identity", "epoch"),
    *("size_bytes", "files", "restore_count", "rollback_count", "link_count", "qr_count"),
    *("last_restore_s", "snapshots", "quarantine"),
}
SNAPSHOT = {
    *("id", "seq", "epoch", "taken_at", "reason", "verdict", "proof"),
    *("size_bytes", "new_bytes", "duration_s", "why"),
}


def manager(folder: Folder) -> SessionManager:
    """Return a manager of the folder's sessions, as somebody's script makes one."""
    root = folder.root
    return SessionManager(root / "sessions", root / ".session-cache", root / "session-state.json")


def info(folder: Folder) -> dict[str, Any]:
    """Return what is known of the session."""
    return manager(folder).info(PHONE)


def delete(path: Path) -> None:
    """Delete a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path: Path) -> None:
    """Leave nothing in a file."""
    os.truncate(path, 0)


def truncate(path: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def recovers(folder: Folder, before: dict[str, Any]) -> dict[str, Any]:
    """Start; the newest snapshot is back before the bot starts, and the device is the same.

    Returns what is known of the session then.
    """
    with running(folder) as supervisor:
        record = supervisor.restarted(0)
        assert record["reason"] == "start"
        assert (record["verified"], record["proof"]) == (True, "roundtrip")
        restored = supervisor.wait("session_restored")
        assert restored["action"] == "restored"
        assert restored["snapshot"] == before["snapshots"][-1]["id"]
        order = [e["event"] for e in supervisor.events if e["bot"] == "echo"]
        assert order.index("session_restored") < order.index("spawned")
        assert not supervisor.seen("pairing")
        assert not supervisor.seen("undecryptable")
        with folder.phone() as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
        supervisor.shows("restore done in")
    after = info(folder)
    assert after["identity"] == before["identity"]
    assert after["epoch"] == before["epoch"]
    assert after["rollback_count"] == before["rollback_count"] + 1
    assert after["restore_count"] == before["restore_count"] + 1
    assert (after["link_count"], after["qr_count"]) == (1, 1)
    return after


def pairs(supervisor: Running, after: int = 0) -> None:
    """Wait for the QR code, which came with nothing brought back."""
    supervisor.wait("pairing", after, bot="echo")
    assert not supervisor.seen("session_restored", after)
    supervisor.shows("QR code needed")


def quarantined(folder: Folder) -> list[dict[str, str]]:
    """Return what `session info` lists of the quarantine."""
    found: list[dict[str, str]] = folder.info()["quarantine"]
    return found


@pytest.mark.parametrize("damage", [delete, empty, truncate])
@pytest.mark.parametrize("name", ["creds.json", "store.db"])
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


@pytest.mark.parametrize("lost", [".session-cache", ".session-cache/packs"])
def test_with_all_snapshots_gone_a_new_link_is_asked_for(linked: Folder, lost: str) -> None:
    """Nothing to restore from: it is said clearly, the damaged folder is kept, a QR code comes."""
    truncate(linked.session / "store.db")
    found = {p.name: p.read_bytes() for p in linked.session.iterdir()}
    delete(linked.root / lost)
    with running(linked) as supervisor:
        pairs(supervisor)
        why = supervisor.wait("nothing_to_restore")["why"]
        assert ("it has no snapshot" if lost == ".session-cache" else "whole") in why
        supervisor.shows(f"nothing to restore: {why}")
        held = quarantined(linked)
        assert len(held) == 1
        assert {p.name: p.read_bytes() for p in Path(held[0]["path"]).iterdir()} == found
        with link(supervisor) as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
    assert info(linked)["link_count"] == 2


def test_a_session_cleared_under_a_running_bot_stays_cleared(linked: Folder) -> None:
    """`session clear`: a QR code, also after restarts; the next link never meets the old one."""
    old = info(linked)
    with running(linked) as supervisor:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        cleared = linked.stillhere("session", "clear", "--yes")
        assert cleared.returncode == 0, cleared.stderr
        pairs(supervisor, mark)
        supervisor.wait("session_cleared", mark)
        supervisor.shows("cleared: the old one is kept in")
    for _ in range(2):
        with running(linked) as supervisor:
            pairs(supervisor)
    held = quarantined(linked)
    assert [(item["why"], item["epoch"]) for item in held] == [("cleared", old["epoch"])]
    creds = json.loads((Path(held[0]["path"]) / "creds.json").read_text())
    assert creds["device"] == old["identity"].partition(":")[0]
    with running(linked) as supervisor:
        link(supervisor).close()
    new = info(linked)
    assert new["identity"] != old["identity"]
    assert new["link_count"] == 2
    ended = next(str(s["seq"]) for s in new["snapshots"] if s["epoch"] == old["epoch"])
    refused = linked.stillhere("session", "restore", "--snapshot", ended, "--yes")
    assert (refused.returncode, "earlier link" in refused.stderr) == (1, True)
    truncate(linked.session / "creds.json")
    with running(linked) as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        assert supervisor.wait("session_restored")["action"] == "restored"
    assert info(linked)["identity"] == new["identity"]


def test_a_session_cleared_at_rest_stays_cleared(linked: Folder) -> None:
    """The same with no supervisor; even a lost state file does not bring it back."""
    cleared = linked.stillhere("session", "clear", "--yes", "--json")
    assert cleared.returncode == 0, cleared.stderr
    name = json.loads(cleared.stdout)["quarantined"]
    assert [item["name"] for item in quarantined(linked)] == [name]
    found = info(linked)
    assert (found["exists"], found["restorable"]) == (False, False)
    assert "cleared" in found["why_not"]
    with running(linked) as supervisor:
        pairs(supervisor)
    delete(linked.root / "session-state.json")
    with running(linked, "run") as supervisor:
        pairs(supervisor)


def phone_removes(folder: Folder) -> None:
    """Remove the device on the phone, as a person does it."""
    done = subprocess.run(
        [sys.executable, "-m", "bot.phone", "remove"],
        cwd=folder.root,
        env=folder.environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("removed: ")


@pytest.mark.parametrize("online", [True, False], ids=["online", "offline"])
def test_a_device_removed_on_the_phone_stays_removed(linked: Folder, *, online: bool) -> None:
    """401: never restored, also after restarts; kept in quarantine, the reason said, a QR code."""
    old = info(linked)
    with running(linked) as supervisor:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        if not online:
            assert linked.stillhere("stop", "echo").returncode == 0
        phone_removes(linked)
        if not online:
            assert linked.stillhere("start", "echo").returncode == 0
        pairs(supervisor, mark)
        closed = supervisor.wait("epoch_closed", mark)
        assert "401" in closed["why"]
        supervisor.shows(f"the link has ended: {closed['why']}")
        assert len(supervisor.seen("pairing", mark)) == 1
    for mode in ("dev", "run"):
        with running(linked, mode) as supervisor:
            pairs(supervisor)
    held = quarantined(linked)
    assert [item["epoch"] for item in held] == [old["epoch"]]
    assert "401" in held[0]["why"]
    creds = json.loads((Path(held[0]["path"]) / "creds.json").read_text())
    assert creds["device"] == old["identity"].partition(":")[0]
    assert not manager(linked).can_restore(PHONE)
    with pytest.raises(NothingToRestore):
        manager(linked).restore(PHONE)


def looks(folder: Folder) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run all that looks at sessions; return what `info` and `check` said."""
    told = folder.info()
    assert set(told) >= INFO
    assert all(set(one) >= SNAPSHOT for one in told["snapshots"])
    assert folder.json("session", "snapshots") == told["snapshots"]
    listed = folder.json("session", "list")
    assert [set(one) for one in listed] == [set(told) - {"snapshots"}]
    check = folder.json("session", "check")
    assert (check["verdict"], check["identity"]) == ("passed", told["identity"])
    return told, check


def backed_up(folder: Folder) -> dict[str, Any]:
    """Run `session backup`."""
    done = folder.stillhere("session", "backup", "--json")
    assert done.returncode == 0, done.stderr
    taken: dict[str, Any] = json.loads(done.stdout)
    assert set(taken) == SNAPSHOT
    return taken


def restored(folder: Folder, snapshot: str) -> dict[str, Any]:
    """Run `session restore --snapshot`."""
    done = folder.stillhere("session", "restore", "--snapshot", snapshot, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert "Bad MAC" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert snapshot in (found["snapshot"]["id"], str(found["snapshot"]["seq"]))
    return found


def test_session_commands_with_the_supervisor_running(linked: Folder) -> None:
    """They go through its socket; an older snapshot comes back on consent, and is seen deaf."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        told, _ = looks(linked)
        with linked.phone() as phone:
            phone.wait_reply(phone.send("!ping"))
        taken = backed_up(linked)
        assert (taken["reason"], taken["verdict"]) == ("manual", "good")
        assert taken["seq"] > told["snapshots"][-1]["seq"]
        with pytest.raises(SessionBusy) as busy:
            manager(linked).backup(PHONE)
        assert busy.value.pid == supervisor.process.pid
        assert str(supervisor.process.pid) in busy.value.message
        mark = supervisor.mark_now()
        kept = linked.stillhere("session", "restore")
        assert (kept.returncode, "nothing was restored" in kept.stdout) == (0, True), kept
        assert supervisor.restarted(mark)["proof"] == "roundtrip"
        assert info(linked)["rollback_count"] == told["rollback_count"]
        mark = supervisor.mark_now()
        linked.stillhere("session", "prune")  # what goes anyway is gone, before one is chosen
        oldest = info(linked)["snapshots"][0]
        assert oldest["seq"] < taken["seq"]
        restored(linked, oldest["id"])
        assert supervisor.restarted(mark)["proof"] == "identity"
        supervisor.wait("undecryptable", mark)
        supervisor.shows("could not be decrypted")
        mark = supervisor.mark_now()
        restored(linked, str(taken["seq"]))
        assert supervisor.restarted(mark)["proof"] == "roundtrip"
        after = linked.info()
        assert after["rollback_count"] == told["rollback_count"] + 2
        assert after["identity"] == told["identity"]
        assert len(after["quarantine"]) == 2
        assert not supervisor.seen("pairing")


def test_session_commands_with_no_supervisor(linked: Folder) -> None:
    """The same commands and keys, with the owner's lock; a damaged session is exit code 1."""
    told, check = looks(linked)
    assert check["files"] == told["files"] == 2
    assert backed_up(linked)["verdict"] == "good"
    kept = linked.stillhere("session", "restore")
    assert (kept.returncode, "nothing was restored" in kept.stdout) == (0, True)
    oldest = told["snapshots"][0]["id"]
    found = restored(linked, oldest)
    assert info(linked)["quarantine"][0]["name"] == found["quarantined"]
    empty(linked.session / "creds.json")
    damaged = linked.stillhere("session", "check")
    assert (damaged.returncode, "creds.json" in damaged.stdout) == (1, True)
    assert linked.stillhere("session", "info", "unheard-of").returncode == 2
    assert linked.stillhere("session", "restore", "--snapshot", "999", "--yes").returncode == 1
    asked = linked.stillhere("session", "clear")
    assert (asked.returncode, "consent" in asked.stderr) == (1, True)


@pytest.mark.parametrize("name", ["copy", "copy.tar.zst"])
def test_a_session_moves_to_another_place(linked: Folder, name: str) -> None:
    """`export` and `import_` in Python: the imported one is adopted as the same device."""
    one = manager(linked)
    before = one.info(PHONE)
    copy = one.export(PHONE, linked.root / name)
    assert copy.stat().st_mode & 0o077 == 0
    one.clear(PHONE)
    one.import_(PHONE, copy)
    with running(linked) as supervisor:
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        assert supervisor.wait("adopted")["identity"] == before["identity"]
        assert not supervisor.seen("pairing")
    after = one.info(PHONE)
    assert after["identity"] == before["identity"]
    assert after["epoch"] > before["epoch"]
    assert after["link_count"] == before["link_count"]


def test_the_shipped_bot_is_known_by_its_files(linked: Folder) -> None:
    """The session itself says whose it is, so that a foreign or half one is seen at rest."""
    check = manager(linked).check(PHONE)
    assert check.identity == info(linked)["identity"]


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


def test_another_devices_session_is_asked_about(linked: Folder) -> None:
    """Somebody linked by hand: `dev` asks, and goes on as that device only once a person agrees."""
    first, copy = info(linked)["identity"], linked.root / "by-hand"
    manager(linked).export(PHONE, copy)
    manager(linked).clear(PHONE)
    with running(linked) as supervisor, link(supervisor):
        pass
    second = info(linked)["identity"]
    assert second != first
    delete(linked.session)
    shutil.copytree(copy, linked.session)
    with running(linked) as supervisor:
        assert supervisor.wait("foreign_session")["asks"]
        supervisor.wait("failed")
        assert not supervisor.seen("spawned", bot="echo")
        supervisor.shows("to go on with it: press r, or stillhere start")
        supervisor.client.call("start", bot="echo")
        assert supervisor.wait("adopted")["instead_of"] == second
        assert supervisor.restarted(0)["proof"] == "roundtrip"
    after = info(linked)
    assert (after["identity"], after["epoch"], after["rollback_count"]) == (first, 3, 0)
