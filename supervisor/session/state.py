"""session-state.json: one durable record per session. Several processes may share the file.

Each change is read, made and written under a lock, and replaces the file at once. A file that
can't be read is kept aside, and its records come again from the manifests: see `epochs`.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import time_ns
from typing import Any, get_args
from weakref import WeakValueDictionary

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.model import (
    EpochState,
    Malformed,
    UnreadableBlob,
    compact,
    rfc3339,
    since_1970,
)
from supervisor.session.storage.manifest import Counters

VERSION = 1
_MAX_BYTES = 64 << 20
# Younger than this, it may have been written twice with the same times. Each writing is a new file:
# to have its number and its size as well, two of them have to fall into one tick of the clock.
_YOUNG_NS = 2_000_000_000
_YOUNG_FINE_NS = 50_000_000
_COARSE_NS = 1_000_000


@dataclass(slots=True, kw_only=True)
class Record:
    """What must survive everything, of one session.

    `state`: of the epoch. `reported`: the bot's last word. `seat`: the generation that may
    write; `last_writer`: the last that might; `writers`: how often the seat was taken, or the
    session replaced. `sealed`: the seq of the snapshot that is exactly the session at rest, while
    neither happened since; what the newest manifest says of that wins. `newest`: the highest seq
    of a good or fuzzy snapshot that this link ever had, `profile` its kind of session: so that a
    store that is away is noticed, and what is live is known without it. `restored`: the seq of the
    snapshot that came back last, `undone`: the highest seq that there was then (see `epochs.line`).
    `tried`: snapshots that were restored because the session asked to pair. `applied`: the last
    swap that was counted. `linked_at`: when the link was made, if we saw it (RFC 3339).
    `checked_at`, `drilled_at`: when its snapshots were checked and a restore was drilled last, or
    since when that is waited for (RFC 3339).
    """

    epoch: int = 0
    state: EpochState = "none"
    identity: str | None = None
    adopted: bool = False
    reported: str = ""
    generation: int = 0
    seat: int | None = None
    writers: int = 0
    last_writer: int = 0
    sealed: int | None = None
    newest: int = 0
    restored: int = 0
    undone: int = 0
    profile: str = ""
    restore_count: int = 0
    rollback_count: int = 0
    link_count: int = 0
    qr_count: int = 0
    last_restore_s: float | None = None
    tried: list[str] = field(default_factory=list)
    applied: str = ""
    linked_at: str = ""
    checked_at: str | None = None
    drilled_at: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    updated_at: str = ""

    @property
    def numbered(self) -> int:
        """The highest number that a snapshot of this link is known to have had."""
        return max(self.newest, self.undone)

    def counters(self) -> Counters:
        """Return what a manifest carries along for a rebuild."""
        return Counters(
            generation=self.generation,
            restore_count=self.restore_count,
            rollback_count=self.rollback_count,
            link_count=self.link_count,
            qr_count=self.qr_count,
            last_restore_s=self.last_restore_s,
        )


def record_from(value: object) -> Record:
    """Return a record from parsed JSON; unknown keys are dropped. Raises: Malformed."""
    if not isinstance(value, dict):
        raise Malformed("a session's record is no object")
    known = {item.name: value[item.name] for item in fields(Record) if item.name in value}
    for key in (
        "epoch",
        "generation",
        "writers",
        "last_writer",
        "newest",
        "restored",
        "undone",
        *(k for k in known if k.endswith("_count")),
    ):
        if key in known and (type(known[key]) is not int or not 0 <= known[key] < 2**63):
            raise Malformed(f"{key} can't be {known[key]!r}")
    for key in ("seat", "sealed"):
        if known.get(key) is not None and (type(known[key]) is not int or known[key] < 0):
            raise Malformed(f"{key} can't be {known[key]!r}")
    for key in ("reported", "profile", "applied", "linked_at", "updated_at"):
        if not isinstance(known.get(key, ""), str):
            raise Malformed(f"{key} can't be {known[key]!r}")
    _refuse_no_time(known.get("linked_at", ""))
    tried = known.get("tried", [])
    last = known.get("last_restore_s")
    if (
        known.get("state", "none") not in get_args(EpochState)
        or not isinstance(known.get("adopted", False), bool)
        or not isinstance(known.get("fields", {}), dict)
        or not (isinstance(tried, list) and all(isinstance(item, str) for item in tried))
        or not (known.get("identity") is None or isinstance(known["identity"], str))
        or not isinstance(known.get("checked_at"), str | None)
        or not isinstance(known.get("drilled_at"), str | None)
        or not (last is None or (isinstance(last, int | float) and not isinstance(last, bool)))
    ):
        raise Malformed("a session's record has a field of the wrong kind")
    return Record(**known)


def _refuse_no_time(linked_at: str) -> None:
    if linked_at:
        try:
            since_1970(linked_at)
        except ValueError:
            raise Malformed(f"linked_at can't be {linked_at[:80]!r}") from None


_NAMES = tuple(item.name for item in fields(Record))

# By session.
Records = dict[str, Record]


class _Held:
    """What the file held, and how it looked then. Nobody changes a record in here."""

    seen: tuple[tuple[int, ...], Records, bool] | None = None


# One for all of this process that have the same file: of two hundred bots each has all records.
_held: WeakValueDictionary[Path, _Held] = WeakValueDictionary()


class StateFile:
    """The file, for all sessions. `rebuild(id)` is asked for a record that isn't there."""

    def __init__(
        self,
        path: Path,
        store_root: Path,
        *,
        ids: Callable[[], set[str]],
        settle: Callable[[str, Record | None], Record],
        clock: Callable[[], float],
    ) -> None:
        self.path = path
        self._root = store_root
        self._ids = ids
        self._settle = settle
        self._clock = clock
        # Files that could not be read and were kept aside; whoever tells persons takes them.
        self.kept_aside: list[Path] = []
        self._held = _held.setdefault(path.absolute(), _Held())

    def read(self, session_id: str) -> Record:
        """Return the record as it stands; writes nothing. Raises: SupervisorError, OSError."""
        records, _whole = self._load()
        return self._settle(session_id, deepcopy(records.get(session_id)))

    def ids(self) -> set[str]:
        """Return the sessions that the file knows."""
        return set(self._load()[0])

    def whole(self) -> bool:
        """Return whether the file can be read, or was never there. Raises: SupervisorError."""
        return self._load()[1]

    @contextmanager
    def edit(self, session_id: str) -> Iterator[Record]:
        """Yield the record to change; at the end it is on the disk, unless it is the same.

        An exception inside leaves the file as it was. Raises: SupervisorError, OSError.
        """
        with files.folder_lock(self._root):
            loaded, whole = self._load()
            records = dict(loaded)
            if not whole:
                for other in self._ids() - set(records) - {session_id}:
                    with suppress(UnreadableBlob):  # it comes again once it can be read
                        records[other] = self._settle(other, None)
            before = records.get(session_id)
            record = self._settle(session_id, deepcopy(before))
            yield record
            if record != before or not whole:
                record.updated_at = rfc3339(self._clock())
                records[session_id] = record
                if not whole:
                    self._keep_aside()
                self._save(records)

    def rehearse(self) -> None:
        """See whether there is room to write the file once more. Raises: OSError, if not."""
        with suppress(FileNotFoundError):
            drafts = self._root / "tmp"
            draft, fd = files.new_draft(drafts)
            try:
                files.write_all(fd, self.path.read_bytes())
            finally:
                os.close(fd)
                draft.unlink()

    def _load(self) -> tuple[Records, bool]:
        """Return the records, and whether the file was whole (or never there).

        A file that looks as it did is not read again; each of our writes makes a new one.
        """
        look = _look(self.path)
        if (seen := self._held.seen) is not None and seen[0] == look:
            return seen[1:]
        records, whole = self._parsed()
        # Looked at before it was read: what comes in between looks like another file next time.
        self._held.seen = (look, records, whole) if look else None
        return records, whole

    def _parsed(self) -> tuple[Records, bool]:
        try:
            value = json.loads(files.read_file(self.path, _MAX_BYTES))
        except FileNotFoundError:
            return {}, True
        except (ValueError, RecursionError):
            return {}, False
        if not isinstance(value, dict) or not isinstance(value.get("sessions"), dict):
            return {}, False
        if value.get("version") != VERSION:
            raise SupervisorError(
                f"{self.path} has version {value.get('version')!r}; this program knows {VERSION}",
                "it was written by another version of stillhere: use that one, or move it away",
            )
        records: dict[str, Record] = {}
        whole = True
        for session_id, item in value["sessions"].items():
            try:
                records[session_id] = record_from(item)
            except Malformed:
                whole = False
        return records, whole

    def _save(self, records: dict[str, Record]) -> None:
        # A line for each: indented all the way, it would be no work of the C encoder's.
        lines = (
            f" {json.dumps(key)}: {json.dumps({name: getattr(record, name) for name in _NAMES})}"
            for key, record in sorted(records.items())
        )
        sessions = ",\n".join(lines)
        text = f'{{"version": {VERSION}, "sessions": {{\n{sessions}\n}}}}\n'
        files.make_private(self.path.parent)
        files.replace_synced(self.path, text.encode(), self._root / "tmp")

    def _keep_aside(self) -> None:
        name = f"{self.path.name}.unreadable-{compact(self._clock())}"
        aside = self.path.with_name(name)
        count = 1
        while aside.exists():
            count += 1
            aside = self.path.with_name(f"{name}-{count}")
        self.path.rename(aside)
        self.kept_aside.append(aside)


def _look(path: Path) -> tuple[int, ...]:
    """Return what another content would change, if stat can be trusted to tell; else nothing."""
    try:
        status = os.lstat(path)
    except OSError:
        return ()
    changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    exact = os.major(status.st_dev) != 0 and status.st_ctime_ns % _COARSE_NS != 0
    if time_ns() - changed_ns < (_YOUNG_FINE_NS if exact else _YOUNG_NS):
        return ()
    return status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns, status.st_ctime_ns
