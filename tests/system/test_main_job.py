"""The main job: save a file, and the same linked device is back."""

from tests.system.harness import Folder, link, running


def test_a_saved_file_restarts_the_bot_as_the_same_device(folder: Folder) -> None:
    """One QR code, a save, and the new code answers as the same device."""
    with running(folder) as supervisor:
        with link(supervisor) as phone:
            assert supervisor.wait("snapshot_taken")["snapshot"]["proof"] == "roundtrip"
            identity = supervisor.status()["session"]["identity"]
            asked = phone.send("!ping")
            assert phone.wait_reply(asked).text == "pong"
            mark = supervisor.mark_now()
            source = folder.root / "bot/commands/ping.py"
            folder.write("bot/commands/ping.py", source.read_text().replace("pong", "PONG"))
            record = supervisor.restarted(mark)
            assert record["verified"]
            assert record["proof"] == "roundtrip"
            assert record["mode"] == "standby"
            asked = phone.send("!ping")
            assert phone.wait_reply(asked).text == "PONG"
        session = supervisor.status()["session"]
        assert session["identity"] == identity
        assert (session["link_count"], session["qr_count"]) == (1, 1)
        assert len(supervisor.seen("pairing")) == 1
