"""A stored file that lies in the live folder anew: the same entry, with other looks. No I/O."""

import re

from supervisor.session.scan import Seen
from supervisor.session.storage.entries import Entry

# As `entries.made` writes it. No file name can hold it: JSON has a backslash before each quote.
_LOOKS = re.compile(
    rb', "kind": "file", "mode": \d+, "mtime_ns": -?\d+, "ctime_ns": -?\d+, "inode": \d+,'
)


def looked_at(entry: Entry, seen: Seen) -> Entry | None:
    """Return the entry of a file with what stat says of it now; None if its line is not ours."""
    looks = (
        f', "kind": "file", "mode": {seen.mode}, "mtime_ns": {seen.mtime_ns},'
        f' "ctime_ns": {seen.ctime_ns}, "inode": {seen.inode},'
    )
    line, found = _LOOKS.subn(looks.encode(), entry.line, count=1)
    if not found:
        return None
    names = {seq: entry.pack(seq) for seq in entry.seqs}
    return Entry(entry.path, seen, line, names, entry.seqs, entry.format)
