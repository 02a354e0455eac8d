"""A link that was ended stays ended: cleared, or removed on the phone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.session.model import NothingToRestore
from tests.system.harness import PHONE, Folder, link, running
from tests.system.sessions import delete, info, manager, pairs, quarantined, truncate


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
            started = linked.stillhere("start", "echo")
            assert (started.returncode, "QR code" in started.stderr) == (1, True)
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
