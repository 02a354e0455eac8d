"""The hand-off: whole, in memory only, for one process; no other one reads it by mistake."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.control import server
from supervisor.core.errors import SupervisorError
from supervisor.core.plain import plain
from supervisor.core.state import Phase, State
from supervisor.loop import handoff
from supervisor.loop.handoff import Bot, Handoff, Sockets, decoded, encoded, sealed, unsealed
from supervisor.process.carried import Carried, Listening, Reading, Said, Writing
from supervisor.watch.fingerprints import Known
from supervisor.web import door
from tests.unit.valuekit import any_of

ROOT = Path(__file__).resolve().parents[2]
SAID = Said(
    status="well",
    qr="2@payload",
    qr_until=12.5,
    identity="device:1",
    checkpoint_signal=12,
    checkpoint_asked_usec=7,
    tail=("a line",),
    payloads=(b"2@payload",),
)
CHILD = Carried(
    generation=3,
    pid=4711,
    started=99,
    token="test.3.abc",  # noqa: S106 - no secret: the name of a tree
    started_at=1.5,
    said=SAID,
    readers=(Reading(fd=20, stream="stdout", partial=b"\xff\x00half", told=True),),
    notify=Listening(fd=21, path="/run/s/abc", strangers=2),
    stdin=Writing(fd=22, waiting=b"wait", given=(b"ABCD-EFGH",)),
    seen={4711: 99, 4712: 100},
)
BOT = Bot(
    state=State(phase=Phase.UP, generation=3, current=3, doomed=frozenset({1})),
    decided=True,
    restarts=2,
    last_restart={"gap_s": 0.1, "changed": ["bot.py"]},
    lines=({"line": "hello", "generation": 3},),
    shown={"3 stdout": b"\xffcode: "},
    asking=3,
    child=CHILD,
    lock=23,
    proofs={3: "roundtrip"},
    known={"bot.py": Known(stamp=(1, 2, 3, 4), digest=b"\x80\x81", racy=False)},
)
WHOLE = Handoff(
    version="1.2.3",
    pid=os.getpid(),
    dev=False,
    config="digest",
    started_at=1.0,
    began_at=2.0,
    upgrades=1,
    limit=(1024, 4096),
    sockets=Sockets(path="/run/s", fd=10),
    control=server.Carried(listener=11, lock=12, inode=(5, 6), asker=13),
    signals=14,
    bots={"bot": BOT, "idle": replace(BOT, child=None, lock=None, known=None)},
    web=door.Carried(listener=15, port=0, token="0123abcd", pid=17),  # noqa: S106 - of nobody
)


def refused(data: bytes) -> str:
    """Return why a document is refused."""
    with pytest.raises(SupervisorError) as caught:
        decoded(data)
    assert caught.value.hint.startswith("restart the service instead")
    return caught.value.message


def changed(**fields: Any) -> bytes:
    """Return the document with other fields at its top."""
    return json.dumps({**json.loads(encoded(WHOLE)), **fields}).encode()


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Hold that no test leaves a descriptor open."""
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


# There and back.
def test_a_whole_document_comes_back_as_it_was() -> None:
    """Each field, bytes that are no text, and a bot without a process."""
    assert decoded(encoded(WHOLE)) == WHOLE


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(any_of(Handoff))
def test_any_document_comes_back_as_it_was(document: Handoff) -> None:
    """Whatever a bot has printed, said, or is called."""
    assert decoded(encoded(document)) == document


def test_each_open_end_is_named_once() -> None:
    """What is not named would be closed by the execve."""
    child = [20, 21, 22]
    assert CHILD.descriptors() == child
    assert BOT.descriptors() == [*child, 23]
    found = replace(WHOLE, bots={"bot": BOT}).descriptors()
    assert sorted(found) == [10, 11, 12, 13, 14, 15, *child, 23]


def test_a_field_that_is_new_and_has_a_default_needs_no_new_format() -> None:
    """An older program did not write it."""
    document = json.loads(encoded(WHOLE))
    for bot in document["bots"].values():
        del bot["state"]["settling"]
        if bot["child"] is not None:
            del bot["child"]["readers"][0]["skips"]
    without_page = {key: each for key, each in document.items() if key != "web"}
    assert decoded(json.dumps(without_page).encode()) == replace(WHOLE, web=None)
    assert decoded(json.dumps(document).encode()) == WHOLE


# What can't be gone on from.
@pytest.mark.parametrize("number", [0, 2, -1, "1", True, None, [1], "x" * 1000])
def test_another_format_is_refused_and_both_are_named(number: object) -> None:
    """Another meaning of a field must not be guessed at."""
    why = refused(changed(format=number))
    assert "known here is 1" in why
    assert "can't be taken over by this version" in why
    assert len(why) < 200


def test_the_format_is_written_first_and_must_be_there() -> None:
    """A document without one is none."""
    assert encoded(WHOLE).startswith(b'{"format": 1, ')
    assert "its format is None" in refused(json.dumps(plain(WHOLE)).encode())


def test_what_the_other_program_knows_and_we_do_not_is_named() -> None:
    """Nothing is dropped silently: it may matter."""
    assert "unknown: moods" in refused(changed(moods=[]))
    document = json.loads(encoded(WHOLE))
    document["bots"]["bot"]["state"]["phase"] = "dreaming"
    assert "'dreaming' is no Phase" in refused(json.dumps(document).encode())
    del document["bots"]["bot"]["state"]
    assert "Handoff.bots.bot" in refused(json.dumps(document).encode())


def test_what_is_named_does_nothing_to_a_terminal() -> None:
    """Whatever it is called, and however long that is."""
    why = refused(changed(**{"\x1b[2J" + "x" * 9999: 1}))
    assert why.isprintable()
    assert len(why) < 500


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"1", b'"text"', b"\xff\xfe", b"{" * 9999])
def test_garbage_is_refused(data: bytes) -> None:
    """It is an error in words, and no traceback."""
    refused(data)


def test_a_deep_document_is_refused() -> None:
    """Brackets without an end are no reason to fail otherwise."""
    refused(b"[" * 200_000)
    refused(b'{"format": 1, "bots": ' + b'{"a":' * 100_000 + b"}" * 100_001)


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_a_truncated_or_bent_document_is_refused_or_whole(data: st.DataObject) -> None:
    """Never half a supervisor: what comes out is a whole one, or an error in words."""
    whole = encoded(WHOLE)
    at = data.draw(st.integers(0, len(whole) - 1))
    refused(whole[:at])
    bent = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :]
    try:
        found = decoded(bent)
    except SupervisorError as error:
        assert error.hint  # noqa: PT017 - either way is right
    else:
        assert isinstance(found, Handoff)


# The memory file.
def test_nobody_can_change_what_is_handed_over() -> None:
    """Sealed: no write, no other size, no other seals. It has no name on any disk."""
    fd = sealed(b"document")
    try:
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        for size in (0, 100):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        assert not os.get_inheritable(fd)
        assert os.fstat(fd).st_nlink == 0
        assert unsealed(fd) == b"document"
        os.lseek(fd, 3, os.SEEK_SET)
        assert unsealed(fd) == b"document", "wherever another reader was"
    finally:
        os.close(fd)


def test_a_large_document_is_whole() -> None:
    """More than one read gives."""
    data = os.urandom(1 << 20) * 8
    fd = sealed(data)
    assert unsealed(fd) == data
    os.close(fd)


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    """A number in the environment may be anybody's."""
    path = tmp_path / "file"
    path.write_bytes(encoded(WHOLE))
    plain_file = os.open(path, os.O_RDWR)
    unsealed_memory = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    pipe = os.pipe()
    for fd in (plain_file, unsealed_memory, *pipe):
        with pytest.raises(SupervisorError, match="no sealed memory file"):
            unsealed(fd)
        os.close(fd)
    with pytest.raises(SupervisorError, match="no sealed memory file"):
        unsealed(plain_file)


# Who may take it.
def carried_pipes(pid: int) -> tuple[int, Handoff, list[int]]:
    """Return a sealed document whose descriptors are open ones, and these."""
    ends = [*os.pipe(), *os.pipe(), *os.pipe()]
    control = server.Carried(listener=ends[0], lock=ends[1], inode=(1, 1), asker=ends[2])
    sockets = Sockets(path="/run/s", fd=ends[3])
    document = replace(WHOLE, pid=pid, control=control, sockets=sockets, signals=ends[4], bots={})
    for end in ends:
        os.set_inheritable(end, True)  # noqa: FBT003 - the signature of os
    return sealed(encoded(document)), document, ends


def test_it_is_taken_once_and_no_child_inherits_what_came_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next program has it; a bot that it starts has none of its descriptors."""
    fd, document, ends = carried_pipes(os.getpid())
    monkeypatch.setenv(handoff.HANDED, str(fd))
    assert handoff.taken() == document
    assert handoff.HANDED not in os.environ
    assert handoff.taken() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    named = document.descriptors()
    assert [os.get_inheritable(end) for end in ends] == [end not in named for end in ends]
    for end in ends:
        os.close(end)


def test_one_that_is_meant_for_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable that was inherited by mistake makes nobody think that he is the supervisor."""
    fd, _, ends = carried_pipes(os.getppid())
    monkeypatch.setenv(handoff.HANDED, str(fd))
    assert handoff.taken() is None
    assert handoff.HANDED not in os.environ
    assert all(os.get_inheritable(end) for end in ends), "they are not ours to change"
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "9999999", "9" * 30, "9" * 5000, "²"])
def test_a_number_that_is_none_is_no_handoff(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts as if nothing had been said."""
    monkeypatch.setenv(handoff.HANDED, number)
    assert handoff.taken() is None
    assert handoff.HANDED not in os.environ


def test_one_that_is_broken_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the bots that run would be started a second time beside themselves."""
    fd = sealed(b"{}")
    monkeypatch.setenv(handoff.HANDED, str(fd))
    with pytest.raises(SupervisorError, match="can't be taken over"):
        handoff.taken()
    os.close(fd)


def test_a_program_after_an_execve_takes_it() -> None:
    """The pid stays, and so does what is open: the whole way, in a small program."""
    script = (
        "import json, os, sys\n"
        "from supervisor.loop import handoff\n"
        "from supervisor.process import reexec\n"
        "if handoff.HANDED in os.environ:\n"
        "    found = handoff.taken()\n"
        "    assert all(not os.get_inheritable(fd) for fd in found.descriptors())\n"
        "    print(found.pid == os.getpid(), os.read(found.signals, 9))\n"
        "    sys.exit()\n"
        "document = json.loads(sys.argv[1])\n"
        "reads, writes = os.pipe()\n"
        "os.write(writes, b'still open')\n"
        "document.update(pid=os.getpid(), signals=reads, bots={})\n"
        "document['sockets']['fd'] = os.dup(reads)\n"
        "control = {'listener': os.dup(reads), 'lock': os.dup(reads), 'inode': [1, 1]}\n"
        "document['control'] = control\n"
        "document['web']['listener'] = os.dup(reads)\n"
        "data = json.dumps(document).encode()\n"
        "fd, keep = handoff.sealed(data), handoff.decoded(data).descriptors()\n"
        "reexec.replace({**os.environ, handoff.HANDED: str(fd)}, [fd, *keep])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, encoded(WHOLE).decode()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True b'still ope'\n", "")


def test_a_config_is_known_again_by_what_it_says(tmp_path: Path) -> None:
    """By its bytes, not by its date; one that is not there is like no other."""
    path = tmp_path / "config.toml"
    assert handoff.digest(path) == ""
    path.write_text("a = 1")
    first = handoff.digest(path)
    path.write_text("a = 2")
    assert handoff.digest(path) != first
    path.write_text("a = 1")
    assert handoff.digest(path) == first
