"""A manifest comes back from its file as it went in, and nothing else is believed."""

import json
import os
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.session.model import Malformed, parse_name
from supervisor.session.scan import Seen
from supervisor.session.storage.entries import Blob, Entry, Patch, made
from supervisor.session.storage.manifest import Counters, Held, Manifest, Pack
from supervisor.session.storage.manifest_json import dump, parse

NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..")
)
TIMES = st.integers(-(2**62), 2**62)
TEXT = st.text(max_size=20)
PACKS = {
    1: Pack("session-a.000001.20261124T220000Z.pack", 7),
    12: Pack("session-a.000012.20261124T220000Z.pack", 1 << 40),
}
PACK = st.sampled_from([pack.name for pack in PACKS.values()])
LENGTH = st.integers(1, 1 << 20)


@st.composite
def blobs(draw: st.DrawFn) -> Blob:
    """A blob, whole or with patches over it."""
    digest = draw(st.binary(min_size=32, max_size=32)).hex()
    frame = (draw(PACK), draw(st.integers(0, 2**40)), draw(LENGTH))
    raw = draw(LENGTH)
    patches: list[Patch] = []
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, raw - 1))
        length = draw(st.integers(1, raw - at))
        patches.append(Patch(at, draw(PACK), draw(st.integers(0, 2**40)), draw(LENGTH), length))
    return Blob(digest, *frame, raw, tuple(patches), draw(LENGTH) if patches else 0)


BLOBS = st.lists(blobs(), max_size=3).map(tuple)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Trees: parents come first, names are any bytes."""
    found: dict[str, Entry] = {}
    folders = [b""]
    for _ in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from(folders))
        raw = b"/".join(part for part in (parent, draw(NAMES)) if part)
        path = os.fsdecode(raw)
        if path in found:
            continue
        kind: Any = draw(st.sampled_from(["file", "dir", "link"]))
        stat = (draw(st.integers(0, 0o7777)), draw(TIMES), draw(TIMES), draw(st.integers(0, 2**63)))
        content = draw(BLOBS) if kind == "file" else ()
        size = sum(blob.raw for blob in content)
        target = os.fsdecode(draw(NAMES)) if kind == "link" else ""
        form = draw(st.sampled_from(["", "sqlite"])) if kind == "file" else ""
        seen = Seen(kind, stat[0], size, *stat[1:], target)
        found[path] = made(path, seen, content, form)
        if kind == "dir":
            folders.append(raw)
    return tuple(found.values())


MANIFESTS = st.builds(
    Manifest,
    id=st.just("971505760056"),
    seq=st.integers(0, 2**50),
    epoch=st.integers(0, 2**50),
    reason=TEXT,
    taken_at=st.just("2026-11-24T22:00:00.123Z"),
    kind=st.sampled_from(["snapshot", "tombstone", "quarantine"]),
    state=st.sampled_from(["none", "linked", "closed"]),
    identity=st.none() | TEXT,
    at_rest=st.none() | TEXT,
    generation=st.integers(0, 2**50),
    hot=st.booleans(),
    scan_ns=st.integers(0, 2**62),
    verdict=st.sampled_from(["pending", "good", "fuzzy", "bad"]),
    why=TEXT,
    proof=st.sampled_from(["", "ready", "identity", "roundtrip"]),
    size_bytes=st.integers(0, 2**62),
    duration_s=st.floats(0, 1e6),
    doubts=st.lists(TEXT, max_size=2).map(tuple),
    notes=st.lists(TEXT, max_size=2).map(tuple),
    tried=st.lists(TEXT, max_size=2).map(tuple),
    counters=st.builds(
        Counters, generation=st.integers(0, 9), last_restore_s=st.none() | st.floats(0, 1e6)
    ),
    boot=TEXT,
    packs=st.just(PACKS),
    body=st.builds(Held, entries()),
)


@settings(max_examples=120, deadline=None, database=None)
@given(MANIFESTS)
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    """Any names, links, and numbers survive the file."""
    found = parse(dump(manifest))
    assert found == manifest
    assert found.files == manifest.files
    assert [entry.line for entry in found.files] == [entry.line for entry in manifest.files]


@settings(max_examples=60, deadline=None, database=None)
@given(MANIFESTS, st.data())
def test_no_changed_byte_is_believed(manifest: Manifest, data: st.DataObject) -> None:
    """Flip any bit, or cut anywhere: it is no manifest any more."""
    raw = bytearray(dump(manifest))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Malformed):
        parse(bytes(raw))
    with pytest.raises(Malformed):
        parse(dump(manifest)[:place])


def _file(**changes: Any) -> dict[str, Any]:
    line = {"path": "a", "kind": "file", "mode": 0o600, "mtime_ns": 1, "ctime_ns": 1, "inode": 1}
    return {**line, "size": 0, "blobs": [], **changes}


def _hostile(files: list[dict[str, Any]] | None = None, **changes: Any) -> bytes:
    """Return a manifest whose digest is right, and whose content is an enemy's."""
    manifest = Manifest(
        id="x", seq=1, epoch=1, reason="manual", taken_at="2026-11-24T22:00:00.000Z"
    )
    value = json.loads(dump(manifest))
    del value["digest"], value["files"]
    value |= changes
    lines = ",\n ".join(json.dumps(line) for line in files or [])
    body = f'{json.dumps(value)[1:-1]},\n"files": [\n {lines}\n]}}\n'.encode()
    return b'{"digest": "' + blake3(body).hexdigest().encode() + b'",\n' + body


ONE = {"0": ["a.pack", 9]}
GOOD = ["0" * 64, 0, 0, 1, 1]


def test_the_hostile_kit_itself_is_accepted() -> None:
    """What the next test changes is believed as it is."""
    assert parse(_hostile([_file()])).files[0].path == "a"
    over = [*GOOD, 1, [[0, 0, 5, 1, 1]]]
    assert parse(_hostile([_file(size=1, blobs=[over])], packs=ONE)).files[0].blobs[0].patches


@pytest.mark.parametrize(
    "data",
    [
        _hostile([_file(path="../../.bashrc")]),
        _hostile([_file(path="/etc/passwd")]),
        _hostile([_file(path="a/../b")]),
        _hostile([_file(path="")]),
        _hostile([_file(path="a\0b")]),
        _hostile([_file(path="missing-parent/b")]),
        _hostile([_file(), _file()]),
        _hostile([_file(path="l", kind="link", target="/etc"), _file(path="l/passwd")]),
        _hostile([_file(path="l", kind="link", target="")]),
        _hostile([_file(kind="device")]),
        _hostile([_file(mode=0o10000)]),
        _hostile([_file(mode=True)]),
        _hostile([_file(size=5)]),
        _hostile([_file(size=1, blobs=[GOOD])]),
        _hostile([_file(size=1, blobs=[["0" * 64, 0, -1, 1, 1]])], packs=ONE),
        _hostile([_file(size=1 << 40, blobs=[["0" * 64, 0, 0, 1, 1 << 40]])], packs=ONE),
        _hostile([_file(size=1, blobs=[["zz", 0, 0, 1, 1]])], packs=ONE),
        _hostile([_file(size=1, blobs=[[*GOOD, 1, [[1, 0, 5, 1, 1]]]])], packs=ONE),
        _hostile([_file(size=1, blobs=[[*GOOD, 1, [[-1, 0, 5, 1, 1]]]])], packs=ONE),
        _hostile([_file(size=1, blobs=[[*GOOD, 1, [[0, 7, 5, 1, 1]]]])], packs=ONE),
        _hostile([_file(size=1, blobs=[[*GOOD, 1, [[0, 0, 5, 1]]]])], packs=ONE),
        _hostile([_file(size=1, blobs=[[*GOOD, 1 << 40, [[0, 0, 5, 1, 1]]]])], packs=ONE),
        _hostile([_file(size=1, blobs=[[*GOOD, 1, [[0, 0, 5, 1, 1]] * 5000]])], packs=ONE),
        _hostile(packs={"0": ["../a.pack", 9]}),
        _hostile(packs={"x": ["a.pack", 9]}),
        _hostile(packs={"0": ["a.pack", -9]}),
        _hostile(packs=["a.pack"]),
        _hostile(format=3),
        _hostile(seq="1"),
        _hostile(verdict="perfect"),
        _hostile(taken_at="yesterday"),
        _hostile(counters=None),
        _hostile(files=None, tried=[1]),
        b"",
        b"{}",
        b'{"digest": "' + b"0" * 64 + b'",\n' + b"[" * 100_000,
    ],
)
def test_an_enemys_manifest_is_refused(data: bytes) -> None:
    """Nothing outside the session, nothing through a link, no absurd number."""
    with pytest.raises(Malformed):
        parse(data)


def test_the_first_format_is_still_read() -> None:
    """A manifest as version 1 wrote it: packs in a list, of lengths that nobody knows."""
    pack = "session-x.000003.20261124T220000Z.pack"
    line = _file(size=1, blobs=[["0" * 64, 0, 4, 5, 1]])
    manifest = parse(_hostile([line], format=1, packs=[pack]))
    assert manifest.packs == {0: Pack(pack, 0)}
    assert manifest.files[0].blobs == (Blob("0" * 64, pack, 4, 5, 1),)
    again = parse(dump(manifest))
    assert again == manifest
    assert again.files == manifest.files


def test_names_are_read_from_the_right() -> None:
    """An id may contain dots."""
    assert parse_name("session-a.b.c.000012.20261124T220000Z.stop.json") == ("a.b.c", 12)
    assert parse_name("session-a.000012.20261124T220000Z.pack") == ("a", 12)
    assert parse_name("README") is None
    assert parse_name("session-a.000012.20261124T220000Z.stop.json.tmp") is None
