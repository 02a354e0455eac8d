"""Any bot's session: plain files, databases, JSON. Nothing of it is taken for a cache."""

from supervisor.session.proof.kinds.model import Profile

# SQLite's shared memory, which the next open makes anew (https://sqlite.org/walformat.html).
EXCLUDES = ("*-shm",)
REREAD = ("MANIFEST-*", "[0-9]*.log", "*.mmap")
# Logs and journals are emptied in the normal course of things.
MAY_BE_EMPTY = ("*-wal", "*-journal", "*.log", "LOG", "LOG.old", "*.lock", "*.pid", "*.tmp")

GENERIC = Profile(name="generic", excludes=EXCLUDES, reread=REREAD, may_be_empty=MAY_BE_EMPTY)
