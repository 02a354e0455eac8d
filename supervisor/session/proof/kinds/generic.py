"""Any bot's session: plain files, databases, JSON. Nothing of it is taken for a cache."""

from supervisor.session.proof.kinds.model import Profile
from supervisor.session.proof.sqlite_files import SHARED

# A walk knows that this is only what lies beside its database.
EXCLUDES = (f"*{SHARED}",)
REREAD = ("MANIFEST-*", "[0-9]*.log", "*.mmap")
# Logs and journals are emptied in the normal course of things.
MAY_BE_EMPTY = ("*-wal", "*-journal", "*.log", "LOG", "LOG.old", "*.lock", "*.pid", "*.tmp")

GENERIC = Profile(name="generic", excludes=EXCLUDES, reread=REREAD, may_be_empty=MAY_BE_EMPTY)
