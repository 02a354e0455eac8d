"""Entries as journald reads them, from a real socket."""

import array
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.service.logs.journald import Journald, _field

WAIT_S = 10.0


def parsed(data: bytes) -> dict[str, bytes]:
    """Read an entry, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ describes it."""
    found: dict[str, bytes] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            found[name.decode()], data = value, rest
            continue
        (length,) = struct.unpack("<Q", rest[:8])
        found[line.decode()] = rest[8 : 8 + length]
        assert rest[8 + length : 9 + length] == b"\n"
        data = rest[9 + length :]
    return found


@contextmanager
def journal(path: Path) -> Iterator[socket.socket]:
    """Listen as journald does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(WAIT_S)
        yield listener


def received(listener: socket.socket) -> dict[str, bytes]:
    """Return the next entry, whichever way it comes."""
    data, ancillary, _, _ = listener.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    for _, kind, rights in ancillary:
        assert kind == socket.SCM_RIGHTS
        fds = array.array("i", rights)
        with os.fdopen(fds[0], "rb") as file:
            file.seek(0)
            data = file.read()
    return parsed(data)


def test_an_entry_has_its_fields(tmp_path: Path) -> None:
    """Those without a value are left out."""
    with journal(tmp_path / "s") as listener:
        to = Journald(tmp_path / "s")
        assert to.send("it is up", 6, {"STILLHERE_BOT": "echo", "STILLHERE_EVENT": None})
        assert received(listener) == {
            "MESSAGE": b"it is up",
            "PRIORITY": b"6",
            "SYSLOG_IDENTIFIER": b"stillhere",
            "STILLHERE_BOT": b"echo",
        }
        to.close()


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
def test_a_long_entry_comes_whole(tmp_path: Path, size: int) -> None:
    """One that is too large for a datagram as a file."""
    with journal(tmp_path / "s") as listener:
        to = Journald(tmp_path / "s")
        assert to.send("x" * size, 6, {})
        assert received(listener)["MESSAGE"] == b"x" * size
        to.close()


def test_who_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """What was lost is told with the next entry that is taken."""
    with journal(tmp_path / "s") as listener:
        to = Journald(tmp_path / "s")
        sent = 0
        while to.send("x", 6, {}):
            sent += 1
        assert not to.send("x", 6, {})
        for _ in range(sent):
            assert "STILLHERE_LOST" not in received(listener)
        assert to.send("y", 6, {})
        assert received(listener)["STILLHERE_LOST"] == b"2"
        to.close()


def test_without_a_journal_it_says_so(tmp_path: Path) -> None:
    """Then lines on stderr do."""
    with pytest.raises(OSError, match="No such file"):
        Journald(tmp_path / "nowhere")


@given(st.text())
def test_any_text_comes_as_it_is(text: str) -> None:
    """Newlines, nulls, and what is no Unicode."""
    assert parsed(_field("MESSAGE", text)) == {"MESSAGE": text.encode("utf-8", "replace")}


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_journald_whose_socket_is_made_anew_gets_the_next_entry(
    tmp_path: Path, size: int
) -> None:
    """Whoever runs for weeks sees that happen; what was lost meanwhile is counted."""
    with journal(tmp_path / "s"):
        to = Journald(tmp_path / "s")
    (tmp_path / "s").unlink()
    assert not to.send("nobody is there", 6, {})
    with journal(tmp_path / "s") as listener:
        assert to.send("x" * size, 6, {})
        entry = received(listener)
        assert (len(entry["MESSAGE"]), entry["STILLHERE_LOST"]) == (size, b"1")
    to.close()
