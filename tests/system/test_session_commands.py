"""The session's commands and the Python API beside a real supervisor, and without one."""

import json
from typing import Any

import pytest

from supervisor.core.errors import SessionBusy
from tests.session_keys import INFO, SNAPSHOT
from tests.system.harness import PHONE, Folder, running
from tests.system.sessions import empty, info, manager


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


def test_the_snapshot_that_was_asked_for_is_what_the_bot_starts_with(linked: Folder) -> None:
    """Not a newer one, beside which it looks damaged; and each start after that goes on from it."""
    later = linked.session / "later.json"
    later.touch()
    with running(linked) as supervisor:
        supervisor.restarted(0)
        first = backed_up(linked)
        later.write_text("{}")
        assert backed_up(linked)["seq"] > first["seq"]
        mark = supervisor.mark_now()
        restored(linked, str(first["seq"]))
        assert supervisor.restarted(mark)["verified"]
        assert later.read_bytes() == b""
        again = supervisor.mark_now()
        assert linked.stillhere("restart").returncode == 0
        assert supervisor.restarted(again)["verified"]
        assert later.read_bytes() == b""
        brought = [e["snapshot"] for e in supervisor.events if e["event"] == "session_restored"]
        assert brought == [first["id"]]
    with running(linked) as supervisor:
        supervisor.restarted(0)
        assert later.read_bytes() == b""
        assert not supervisor.seen("session_restored")


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
