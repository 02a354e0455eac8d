"""The session's device was changed by hand: the network's no to it ends nobody else's link."""

import json

import pytest

from tests.system.harness import Folder, running


def change_device(folder: Folder) -> bytes:
    """Put another device's id into the credentials; return what they are then."""
    path = folder.session / "creds.json"
    creds = json.loads(path.read_text())
    path.write_text(json.dumps({**creds, "device": f"{creds['device']}9"}))
    return path.read_bytes()


@pytest.mark.parametrize("mode", ["run", "dev"])
def test_the_own_device_comes_back_after_another_was_refused(linked: Folder, mode: str) -> None:
    """A changed device id gets a 401: quarantine, the newest snapshot, the same device, no QR.

    In `dev` a person is asked first, and says go on.
    """
    before = linked.info()
    changed = change_device(linked)
    with running(linked, mode) as supervisor:
        if mode == "dev":
            supervisor.wait("failed", bot="echo")
            assert linked.stillhere("start", "echo").returncode == 0
        refused = supervisor.wait("session_refused")
        assert (refused["state"], refused["stranger"]) == ("lost", True)
        assert "401" in refused["reason"]
        supervisor.wait("session_restored")
        assert supervisor.restarted(0)["proof"] == "roundtrip"
        assert not supervisor.seen("pairing")
        assert not supervisor.seen("epoch_closed")
        supervisor.shows("the session of another device was refused")
        with linked.phone() as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
    after = linked.info()
    assert (after["identity"], after["epoch"]) == (before["identity"], before["epoch"])
    assert (after["link_count"], after["qr_count"]) == (1, 1)
    (held,) = after["quarantine"]
    target = linked.root / "aside"
    done = linked.stillhere(
        "session", "export", before["id"], str(target), "--snapshot", held["name"]
    )
    assert done.returncode == 0, done.stderr
    assert (target / "creds.json").read_bytes() == changed
