"""A session that is damaged, older than its device, or ended on the server."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("nio", reason="matrix-nio is not installed: `make test-matrix` does it")

from tests.matrix.conftest import MatrixFolder
from tests.matrix.homeserver import Homeserver
from tests.matrix.marks import owner_of, published, talking
from tests.matrix.person import Person
from tests.system.harness import PHONE, Running, end_all, running
from tests.system.sessions import delete, empty, truncate

pytestmark = pytest.mark.matrix
GARBAGE = b"\x93\x07not what was here\xff" * 400


def garbage(path: Path) -> None:
    """Leave something else in a file."""
    path.write_bytes(GARBAGE)


DAMAGES = (delete, empty, truncate, garbage)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["creds.json", "crypto.db", "store.db"])
def test_a_damaged_session_comes_back_without_a_login(
    folder: MatrixFolder, name: str, damage: Callable[[Path], None]
) -> None:
    """From the snapshot: the same device, with the same key on the server, and it can hear."""
    with talking(folder) as (supervisor, person):
        before = folder.info()
        key = published(folder, person)
        supervisor.stop()
        damage(folder.session / name)
        with running(folder) as again:
            record = again.restarted(0)
            assert (record["verified"], record["proof"]) == (True, "roundtrip")
            assert again.wait("session_restored")["action"] == "restored"
            assert person.ask("!ping") == "pong"
            assert not again.seen("undecryptable")
        after = folder.info()
        assert (after["identity"], after["link_count"]) == (before["identity"], 1)
        assert published(folder, person) == key
        assert len(folder.devices()) == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["creds.json", "crypto.db"])
def test_the_bot_itself_refuses_what_is_not_its_device(
    folder: MatrixFolder, name: str, damage: Callable[[Path], None]
) -> None:
    """Without a supervisor: it says what is wrong, and the key on the server stays."""
    with talking(folder) as (supervisor, person):
        key = published(folder, person)
        supervisor.stop()
        damage(folder.session / name)
        left = {path.name: path.read_bytes() for path in folder.session.iterdir()}
        said = by_hand(folder)
        assert said.returncode == 1
        assert f"lost: {name}" in said.stdout
        assert "online" not in said.stdout
        assert published(folder, person) == key
        assert {path.name: path.read_bytes() for path in folder.session.iterdir()} == left


def token_of(folder: MatrixFolder) -> str:
    """Return the token that the bot's session holds."""
    return str(json.loads((folder.session / "creds.json").read_text())["token"])


def by_hand(folder: MatrixFolder) -> "subprocess.CompletedProcess[str]":
    """Run the bot as a person without a supervisor does; it ends by itself."""
    env = folder.environment(
        BOT_TRANSPORT="matrix",
        BOT_MATRIX_SERVER=folder.server.url,
        BOT_MATRIX_USER=folder.bot,
        BOT_MATRIX_OWNER=folder.owner,
        BOT_MATRIX_PASSWORD="wrong",  # noqa: S106 (it must not be used)
    )
    return subprocess.run(
        [sys.executable, "-m", "bot"],
        cwd=folder.root,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def older_snapshot_of(folder: MatrixFolder, supervisor: Running, person: Person) -> str:
    """Return a snapshot that knows nothing of the keys that its device uses by now."""
    taken = folder.stillhere("session", "backup", "--json")
    assert taken.returncode == 0, taken.stderr
    person.new_room_key()
    assert person.ask("!note after it") == "Noted (1)."
    assert supervisor.stop() == 0
    return str(json.loads(taken.stdout)["id"])


def test_an_old_snapshot_is_seen_deaf_and_hears_again_with_new_keys(folder: MatrixFolder) -> None:
    """It logs in, and is not called proved; what it can't open is counted; then it heals."""
    with talking(folder) as (supervisor, person):
        before = folder.info()
        key = published(folder, person)
        old = older_snapshot_of(folder, supervisor, person)
        done = folder.stillhere("session", "restore", PHONE, "--snapshot", old, "--yes")
        assert done.returncode == 0, done.stderr
        with running(folder) as again:
            record = again.restarted(0)
            assert record["proof"] != "roundtrip"
            again.shows("but deaf: this session is older than its keys")
            person.send("!ping")
            assert again.wait("undecryptable")["count"] >= 1
            person.new_room_key()
            assert person.ask("!note") == "No notes."  # the notes are as old as the snapshot
            again.until(
                lambda: again.console.count("online as device") > 1, "proved once it hears again"
            )
        after = folder.info()
        assert (after["identity"], after["link_count"]) == (before["identity"], 1)
        assert published(folder, person) == key
        with running(folder) as healed:
            assert healed.restarted(0)["proof"] == "roundtrip"


def test_a_device_logged_out_on_the_server_is_never_restored(folder: MatrixFolder) -> None:
    """The reason is said, the session goes to quarantine; the password makes a new device."""
    with talking(folder) as (supervisor, _person):
        old = folder.info()
        mark = supervisor.mark_now()
        folder.server.call("POST", "/_matrix/client/v3/logout", {}, token_of(folder))
        lost = supervisor.wait("session_state", mark, state="lost")
        assert lost["reason"].startswith("401 M_UNKNOWN_TOKEN")
        supervisor.wait("snapshot_taken", mark, bot="echo")
        assert not supervisor.seen("session_restored", mark)
        new = folder.info()
        assert new["identity"] != old["identity"]
        assert (new["link_count"], new["rollback_count"]) == (2, 0)
        assert len(new["quarantine"]) == 1
        assert folder.devices() == [new["identity"].partition(":")[0]]


def test_without_a_password_a_logged_out_device_stays_out(folder: MatrixFolder) -> None:
    """Take it out of the env_file once the bot is linked, and nothing logs in again."""
    with talking(folder) as (supervisor, _person):
        supervisor.stop()
        folder.write(".env", "")
        with running(folder) as again:
            assert again.restarted(0)["proof"] == "roundtrip"
            folder.server.call("POST", "/_matrix/client/v3/logout", {}, token_of(folder))
            again.shows("a first login needs BOT_MATRIX_PASSWORD")
            assert not again.seen("session_restored")
        assert folder.devices() == []


def test_a_wrong_password_makes_no_device(folder: MatrixFolder) -> None:
    """It is said, without the password, and tried with pauses until it is given up."""
    folder.write(".env", "BOT_MATRIX_PASSWORD=not-the-one\n")
    with running(folder, "run") as supervisor:
        supervisor.shows("the login was refused: M_FORBIDDEN")
        supervisor.wait("failed", 0, 60.0)
        assert "not-the-one" not in supervisor.console
        assert folder.devices() == []
        assert not supervisor.seen("snapshot_taken")


def test_a_server_that_is_down_is_offline_and_never_a_restore(folder: MatrixFolder) -> None:
    """At the start, and later; the same generation is back as the same device by itself."""
    with talking(folder) as (supervisor, person):
        identity = supervisor.status()["session"]["identity"]
        mark = supervisor.mark_now()
        folder.server.stop()
        try:
            supervisor.wait("session_state", mark, state="offline")
            supervisor.stop()
            with running(folder) as again:
                again.wait("session_state", state="offline")
                folder.server.start()
                record = again.restarted(0, 60.0)
                assert (record["verified"], record["proof"]) == (True, "roundtrip")
                assert person.ask("!ping", 60.0) == "pong"
                session = again.status()["session"]
                assert (session["identity"], session["link_count"]) == (identity, 1)
                assert not again.seen("session_restored")
        finally:
            folder.server.start()


def test_the_first_login_waits_for_a_server_that_is_down(folder: MatrixFolder) -> None:
    """Nothing is made meanwhile; then one device is."""
    folder.server.stop()
    try:
        with running(folder) as supervisor:
            supervisor.wait("session_state", state="offline")
            folder.server.start()
            supervisor.wait("snapshot_taken", 0, 60.0, bot="echo")
            assert len(folder.devices()) == 1
            with owner_of(folder) as person:
                person.invite(folder.bot)
                assert person.ask("!ping") == "pong"
    finally:
        folder.server.start()


def test_a_token_that_ends_is_renewed_by_the_same_device(
    tmp_path: Path, bytecode_cache: Path
) -> None:
    """A server may let tokens end and keep the device (a soft logout): that is no lost session."""
    server = Homeserver(tmp_path / "homeserver", "session_lifetime: 20s\n")
    server.start()
    try:
        folder = MatrixFolder(tmp_path / "project", bytecode_cache, server)
        with running(folder) as supervisor:
            supervisor.wait("snapshot_taken", bot="echo")
            identity = supervisor.status()["session"]["identity"]
            first = token_of(folder)
            supervisor.until(lambda: token_of(folder) != first, "a new token", 60.0)
            mark = supervisor.mark_now()
            folder.stillhere("restart", "echo")
            assert supervisor.restarted(mark)["proof"] == "roundtrip"
            session = supervisor.status()["session"]
            assert (session["identity"], session["link_count"]) == (identity, 1)
            assert not supervisor.seen("session_state", state="lost")
            assert folder.devices() == [identity.partition(":")[0]]
    finally:
        server.stop()
        end_all(folder)
