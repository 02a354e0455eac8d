"""Manifests as JSON: a line for each field, then a line for each file.

The file begins with the BLAKE3 of all that follows, so that a torn or edited one is noticed; and
it is read as if an enemy had written it. No I/O.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from blake3 import blake3

from supervisor.session.model import (
    PROOFS,
    DamagedBlob,
    EpochState,
    Malformed,
    Verdict,
    since_1970,
)
from supervisor.session.storage.entries import Entry, EntryReader
from supervisor.session.storage.manifest import Body, Counters, Held, Kind, Manifest, Pack

FORMAT = 2
_FIRST = 1
# The length of a pack that nobody wrote down: its blobs are read, but none is built upon.
UNKNOWN = 0
_DIGEST = re.compile(rb'\{"digest": "([0-9a-f]{64})",\n')
_FILES = b'"files": [\n '
_END = b"\n]}\n"
_PACK = re.compile(r"[^/\0]{1,250}\.pack")
_APART = ("body", "counters", "packs")


def dump(manifest: Manifest) -> bytes:
    """Return the file's content. Raises: DamagedBlob when the entries can't be read."""
    head: dict[str, Any] = {"format": FORMAT}
    for item in fields(manifest):
        if item.name not in _APART:
            head[item.name] = getattr(manifest, item.name)
    head["counters"] = asdict(manifest.counters)
    head["packs"] = {str(seq): list(pack) for seq, pack in sorted(manifest.packs.items())}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    start = (",\n".join(lines) + ",\n").encode("ascii")
    parts = (start, _FILES, manifest.body.lines(), _END)
    digest = blake3()
    for part in parts:
        digest.update(part)
    return b"".join((b'{"digest": "', digest.hexdigest().encode(), b'",\n', *parts))


def split(data: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    """Return what stands before the entries, and the entries' lines.

    Raises: Malformed for anything that is torn or was changed.
    """
    match = _DIGEST.match(data)
    if match is None or blake3(memoryview(data)[match.end() :]).hexdigest().encode() != match[1]:
        raise Malformed(f"{name} is torn or was changed: its digest does not fit")
    start = data.find(b"\n" + _FILES) + 1
    if not start or not data.endswith(_END):
        raise Malformed(f"{name} has no list of files")
    try:
        head = json.loads(data[:start].rstrip(b",\n") + b"}")
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{name} is no JSON: {error}") from error
    return head, data[start + len(_FILES) : -len(_END)]


def parse_entries(lines: bytes, packs: Mapping[int, Pack], name: str) -> tuple[Entry, ...]:
    """Return the entries of these lines. Raises: Malformed for what `dump` did not write."""
    if not lines:
        return ()
    reader = EntryReader(name, {seq: pack.name for seq, pack in packs.items()})
    return tuple(reader.entry(line) for line in lines.split(b",\n "))


def entries_beside(manifest: Manifest, now: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return a manifest's entries by path; what is the same, line for line, is `now`'s entry.

    Of two snapshots nearly all is the same, and need not be parsed and held twice.
    Raises: DamagedBlob when the entries can't be read.
    """
    names = {seq: pack.name for seq, pack in manifest.packs.items()}
    same = {entry.line: entry for entry in now.values()}
    reader = EntryReader(manifest.name, names)
    found: dict[str, Entry] = {}
    lines = manifest.body.lines()
    try:
        for line in lines.split(b",\n ") if lines else ():
            entry = same.get(line)
            if entry is None or any(names.get(seq) != entry.pack(seq) for seq in entry.seqs):
                entry = reader.entry(line)
            else:
                reader.met(entry)
            found[entry.path] = entry
    except Malformed as error:
        raise DamagedBlob(error.message) from error
    return found


def parse(data: bytes, name: str = "manifest") -> Manifest:
    """Return what `dump` was given, with its entries. Raises: Malformed."""
    head, lines = split(data, name)
    manifest = parse_head(head, Held(), name)
    entries = parse_entries(lines, manifest.packs, name)
    return parse_head(head, Held(entries), name)


def parse_head(head: dict[str, Any], body: Body, name: str) -> Manifest:
    """Return a manifest whose entries are `body`'s. Raises: Malformed."""
    if head.get("format") == _FIRST and isinstance(head.get("packs"), list):
        # It named packs by their place in a list, and did not keep their lengths.
        packs = {str(place): [pack, UNKNOWN] for place, pack in enumerate(head["packs"])}
        head = {**head, "format": FORMAT, "boot": "", "packs": packs}
    return _Head(head, name).manifest(body)


class _Head:
    """Reads the fields, each with its kind and range."""

    def __init__(self, value: dict[str, Any], name: str) -> None:
        self._value = value
        self._name = name

    def manifest(self, body: Body) -> Manifest:
        value = self._value
        if value.get("format") != FORMAT:
            raise self._bad("format", value.get("format"))
        manifest = Manifest(
            id=self._str("id"),
            seq=self._int(value, "seq"),
            epoch=self._int(value, "epoch"),
            reason=self._str("reason"),
            taken_at=self._str("taken_at"),
            kind=self._choice("kind", get_args(Kind)),
            state=self._choice("state", get_args(EpochState)),
            identity=self._maybe("identity"),
            at_rest=self._maybe("at_rest"),
            generation=self._int(value, "generation"),
            hot=self._bool("hot"),
            seals=self._int(value, "seals") if value.get("seals") is not None else None,
            scan_ns=self._int(value, "scan_ns"),
            boot=self._str("boot"),
            verdict=self._choice("verdict", get_args(Verdict)),
            why=self._str("why"),
            sick=self._bool("sick"),
            was=self._choice("was", ("", *get_args(Verdict))) if "was" in self._value else "",
            proof=self._choice("proof", PROOFS),
            profile=self._str("profile"),
            size_bytes=self._int(value, "size_bytes"),
            new_bytes=self._int(value, "new_bytes"),
            duration_s=self._float(value.get("duration_s"), "duration_s"),
            doubts=self._strings("doubts"),
            notes=self._strings("notes"),
            tried=self._strings("tried"),
            among=self._bool("among") if self._value.get("among") is not None else None,
            counters=self._counters(),
            packs=self._packs(),
            body=body,
        )
        try:
            since_1970(manifest.taken_at)
        except ValueError as error:
            raise self._bad("taken_at", manifest.taken_at) from error
        return manifest

    def _counters(self) -> Counters:
        counters = self._value.get("counters")
        if not isinstance(counters, dict):
            raise self._bad("counters", counters)
        last = counters.get("last_restore_s")
        return Counters(
            generation=self._int(counters, "generation"),
            restore_count=self._int(counters, "restore_count"),
            rollback_count=self._int(counters, "rollback_count"),
            link_count=self._int(counters, "link_count"),
            qr_count=self._int(counters, "qr_count"),
            last_restore_s=None if last is None else self._float(last, "last_restore_s"),
        )

    def _packs(self) -> Mapping[int, Pack]:
        packs = self._value.get("packs")
        if not isinstance(packs, dict):
            raise self._bad("packs", packs)
        found: dict[int, Pack] = {}
        for key, item in packs.items():
            match item:
                case [str(name), int(size)] if _PACK.fullmatch(name) and 0 <= size < 2**63:
                    if not key.isdecimal() or len(key) > 15:  # noqa: PLR2004 - as in a file name
                        raise self._bad("packs", key)
                    found[int(key)] = Pack(name, size)
                case _:
                    raise self._bad("packs", item)
        return found

    def _bad(self, key: str, value: object) -> Malformed:
        return Malformed(f"{self._name}: {key} can't be {str(value)[:80]!r}")

    def _str(self, key: str) -> str:
        value = self._value.get(key)
        if not isinstance(value, str):
            raise self._bad(key, value)
        return value

    def _maybe(self, key: str) -> str | None:
        return None if self._value.get(key) is None else self._str(key)

    def _strings(self, key: str) -> tuple[str, ...]:
        value = self._value.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._bad(key, value)
        return tuple(value)

    def _bool(self, key: str) -> bool:
        value = self._value.get(key)
        if not isinstance(value, bool):
            raise self._bad(key, value)
        return value

    def _int(self, line: dict[str, Any], key: str) -> int:
        value = line.get(key)
        if type(value) is not int or not 0 <= value < 2**64:
            raise self._bad(key, value)
        return value

    def _float(self, value: object, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:  # noqa: PLR2004 - far more seconds than anything takes
            raise self._bad(key, value)
        return float(value)

    def _choice(self, key: str, allowed: tuple[Any, ...]) -> Any:
        value = self._value.get(key)
        if not isinstance(value, str) or value not in allowed:
            raise self._bad(key, value)
        return value
