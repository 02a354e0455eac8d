"""Manifests as JSON.

The file begins with the BLAKE3 of all that follows, so that a torn or edited one is noticed; and
it is read as if an enemy had written it: every path stays inside the session, every parent is a
folder, every number is in range. No I/O.
"""

import json
import os
import re
from dataclasses import asdict, fields
from typing import Any, get_args

from blake3 import blake3

from supervisor.session.manifest import Blob, Counters, Entry, Manifest
from supervisor.session.model import PROOFS, EpochState, Malformed, Verdict, since_1970
from supervisor.session.scan import Kind, Seen

FORMAT = 1
FORMATS = ("", "sqlite")
# What a reader accepts: more than any version writes, and still a bound on its memory.
BLOB_MAX_BYTES = 16 << 20
_DIGEST = re.compile(rb'\{"digest": "([0-9a-f]{64})",\n')
_HASH = re.compile(r"[0-9a-f]{64}")
_PACK = re.compile(r"[^/\0]{1,250}\.pack")


def dump(manifest: Manifest) -> bytes:
    """Return the file's content: one line per field, one per file, the digest of it all first."""
    packs = sorted({blob.pack for blob in manifest.blobs()})
    place = {pack: index for index, pack in enumerate(packs)}
    head: dict[str, Any] = {"format": FORMAT}
    for item in fields(manifest):
        if item.name not in ("files", "counters"):
            head[item.name] = getattr(manifest, item.name)
    head["counters"] = asdict(manifest.counters)
    head["packs"] = packs
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    files = ",\n ".join(json.dumps(_entry_json(entry, place)) for entry in manifest.files)
    body = (",\n".join(lines) + f',\n"files": [\n {files}\n]}}\n').encode("ascii")
    return b'{"digest": "' + blake3(body).hexdigest().encode() + b'",\n' + body


def _entry_json(entry: Entry, place: dict[str, int]) -> dict[str, Any]:
    seen = entry.seen
    line: dict[str, Any] = {**_text("path", entry.path), "kind": seen.kind, "mode": seen.mode}
    line |= {"mtime_ns": seen.mtime_ns, "ctime_ns": seen.ctime_ns, "inode": seen.inode}
    if seen.kind == "link":
        line |= _text("target", seen.target)
    if seen.kind == "file":
        line["size"] = seen.size
        if entry.format:
            line["format"] = entry.format
        line["blobs"] = [[b.hash, place[b.pack], b.offset, b.stored, b.raw] for b in entry.blobs]
    return line


def _text(key: str, name: str) -> dict[str, str]:
    """File names are bytes: what is no UTF-8 goes as hex, under another key."""
    raw = os.fsencode(name)
    try:
        return {key: raw.decode()}
    except UnicodeDecodeError:
        return {f"{key}_hex": raw.hex()}


def parse(data: bytes, name: str = "manifest") -> Manifest:
    """Return what `dump` was given. Raises: Malformed for anything that it did not write."""
    match = _DIGEST.match(data)
    if match is None or blake3(data[match.end() :]).hexdigest().encode() != match[1]:
        raise Malformed(f"{name} is torn or was changed: its digest does not fit")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{name} is no JSON: {error}") from error
    return _Reader(value, name).manifest()


class _Reader:
    """Takes typed values out of parsed JSON. Raises: Malformed, naming the field."""

    def __init__(self, value: object, name: str) -> None:
        self._name = name
        self._value = self._dict(value, "manifest")

    def manifest(self) -> Manifest:
        value = self._value
        if value.get("format") != FORMAT:
            raise self._bad("format", value.get("format"))
        counters = self._dict(value.get("counters"), "counters")
        last = counters.get("last_restore_s")
        packs = self._strings("packs")
        if any(_PACK.fullmatch(pack) is None for pack in packs):
            raise self._bad("packs", packs)
        manifest = Manifest(
            id=self._str("id"),
            seq=self._int(value, "seq"),
            epoch=self._int(value, "epoch"),
            reason=self._str("reason"),
            taken_at=self._str("taken_at"),
            kind=self._choice("kind", ("snapshot", "tombstone")),
            state=self._choice("state", get_args(EpochState)),
            identity=self._maybe("identity"),
            at_rest=self._maybe("at_rest"),
            generation=self._int(value, "generation"),
            hot=self._bool("hot"),
            scan_ns=self._int(value, "scan_ns"),
            verdict=self._choice("verdict", get_args(Verdict)),
            why=self._str("why"),
            sick=self._bool("sick"),
            proof=self._choice("proof", PROOFS),
            profile=self._str("profile"),
            size_bytes=self._int(value, "size_bytes"),
            new_bytes=self._int(value, "new_bytes"),
            duration_s=self._float(value.get("duration_s"), "duration_s"),
            doubts=self._strings("doubts"),
            notes=self._strings("notes"),
            tried=self._strings("tried"),
            counters=Counters(
                generation=self._int(counters, "generation"),
                restore_count=self._int(counters, "restore_count"),
                rollback_count=self._int(counters, "rollback_count"),
                link_count=self._int(counters, "link_count"),
                qr_count=self._int(counters, "qr_count"),
                last_restore_s=None if last is None else self._float(last, "last_restore_s"),
            ),
            files=self._files(packs),
        )
        try:
            since_1970(manifest.taken_at)
        except ValueError as error:
            raise self._bad("taken_at", manifest.taken_at) from error
        return manifest

    def _files(self, packs: tuple[str, ...]) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        folders, paths = {""}, set[str]()
        for item in self._list(self._value.get("files"), "files"):
            line = self._dict(item, "files")
            path = self._file_name(line, "path")
            if not safe_path(path) or path in paths or path.rpartition("/")[0] not in folders:
                raise self._bad("path", path)
            paths.add(path)
            entry = self._entry(line, path, packs)
            if entry.seen.kind == "dir":
                folders.add(path)
            entries.append(entry)
        return tuple(entries)

    def _entry(self, line: dict[str, Any], path: str, packs: tuple[str, ...]) -> Entry:
        kind: Kind = self._choice("kind", get_args(Kind), line)
        size = self._int(line, "size") if kind == "file" else 0
        target = self._file_name(line, "target") if kind == "link" else ""
        if kind == "link" and (not target or "\0" in target):
            raise self._bad("target", target)
        items = self._list(line.get("blobs"), "blobs") if kind == "file" else []
        blobs = [self._blob(item, packs) for item in items]
        if sum(blob.raw for blob in blobs) != size:
            raise self._bad("size", size)
        mode = self._int(line, "mode")
        if mode > 0o7777:  # noqa: PLR2004 - all the bits that a mode has
            raise self._bad("mode", mode)
        times = (self._int(line, "mtime_ns", -(2**63)), self._int(line, "ctime_ns", -(2**63)))
        seen = Seen(kind, mode, size, *times, self._int(line, "inode"), target)
        form = line.get("format", "")
        if form not in FORMATS:
            raise self._bad("format", form)
        return Entry(path, seen, tuple(blobs), form)

    def _blob(self, item: object, packs: tuple[str, ...]) -> Blob:
        match item:
            case [str(digest), int(pack), int(offset), int(stored), int(raw)]:
                numbers = (pack, offset, stored, raw)
                if (
                    _HASH.fullmatch(digest)
                    and all(type(n) is int and 0 <= n < 2**63 for n in numbers)
                    and pack < len(packs)
                    and 0 < stored <= 2 * BLOB_MAX_BYTES
                    and 0 < raw <= BLOB_MAX_BYTES
                ):
                    return Blob(digest, packs[pack], offset, stored, raw)
        raise self._bad("blobs", item)

    def _file_name(self, line: dict[str, Any], key: str) -> str:
        text, hexed = line.get(key), line.get(f"{key}_hex")
        try:
            if isinstance(text, str) and hexed is None:
                return os.fsdecode(text.encode())
            if isinstance(hexed, str) and text is None:
                return os.fsdecode(bytes.fromhex(hexed))
        except ValueError as error:
            raise self._bad(key, text or hexed) from error
        raise self._bad(key, text)

    def _bad(self, key: str, value: object) -> Malformed:
        return Malformed(f"{self._name}: {key} can't be {str(value)[:80]!r}")

    def _dict(self, value: object, key: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Malformed(f"{self._name}: {key} is no object")
        return value

    def _list(self, value: object, key: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._bad(key, value)
        return value

    def _str(self, key: str) -> str:
        value = self._value.get(key)
        if not isinstance(value, str):
            raise self._bad(key, value)
        return value

    def _maybe(self, key: str) -> str | None:
        return None if self._value.get(key) is None else self._str(key)

    def _strings(self, key: str) -> tuple[str, ...]:
        value = self._list(self._value.get(key), key)
        if not all(isinstance(item, str) for item in value):
            raise self._bad(key, value)
        return tuple(value)

    def _bool(self, key: str) -> bool:
        value = self._value.get(key)
        if not isinstance(value, bool):
            raise self._bad(key, value)
        return value

    def _int(self, line: dict[str, Any], key: str, low: int = 0) -> int:
        value = line.get(key)
        if type(value) is not int or not low <= value < 2**64:
            raise self._bad(key, value)
        return value

    def _float(self, value: object, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:  # noqa: PLR2004 - far more seconds than anything takes
            raise self._bad(key, value)
        return float(value)

    def _choice(
        self, key: str, allowed: tuple[Any, ...], line: dict[str, Any] | None = None
    ) -> Any:
        value = (self._value if line is None else line).get(key)
        if not isinstance(value, str) or value not in allowed:
            raise self._bad(key, value)
        return value


def safe_path(path: str) -> bool:
    """Return whether `path` is relative, and stays inside the folder it is joined to."""
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))
