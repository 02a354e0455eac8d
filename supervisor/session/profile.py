"""What is known of a bot's session: what is cache, what must be there, whose device it is.

A preset may bring its own Profile. The two here are the bot that ships, known by its files, and
the generic one for all others.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from supervisor.session.files import read_file

_SMALL = 1 << 20


def no_identity(_folder: Path) -> str | None:
    """Return None: this kind of session does not say at rest whose device it is."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of session. All patterns are globs on the relative path or its last part.

    `excludes`: never part of a snapshot. `required`: without each of these it is no session.
    `reread`: written through mmap, so stat does not tell a change. `may_be_empty`: an empty one
    is no damage though it once had bytes. `formats`: glob to format, beside what the content
    itself tells. `settle_s`: how long after its login a session may not be closed yet.
    """

    name: str
    excludes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    reread: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ()
    formats: tuple[tuple[str, str], ...] = (("*.json", "json"),)
    identity: Callable[[Path], str | None] = no_identity
    settle_s: float = 0.0


# Locks of dead processes, SQLite's shared memory (rebuilt at each open), Chromium's caches.
EXCLUDES = (
    "LOCK",
    "Singleton*",
    "*-shm",
    "Cache",
    "Code Cache",
    "GPUCache",
    "Dawn*Cache",
    "GPUPersistentCache",
    "GrShaderCache",
    "ShaderCache",
    "Safe Browsing",
    "component_crx_cache",
    "Crashpad",
    "BrowserMetrics*",
)
REREAD = ("MANIFEST-*", "[0-9]*.log", "*.mmap")
# Logs and journals are emptied in the normal course of things.
MAY_BE_EMPTY = ("*-wal", "*-journal", "*.log", "LOG", "LOG.old", "*.lock", "*.pid", "*.tmp")


def shipped_identity(folder: Path) -> str | None:
    """Return `<device>:<fingerprint>` from creds.json, or None where that can't be read."""
    try:
        creds = json.loads(read_file(folder / "creds.json", _SMALL))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(creds, dict):
        return None
    device, fingerprint = creds.get("device"), creds.get("fingerprint")
    if not (isinstance(device, str | int) and isinstance(fingerprint, str)):
        return None
    return f"{device}:{fingerprint}" if fingerprint else None


GENERIC = Profile(name="generic", excludes=EXCLUDES, reread=REREAD, may_be_empty=MAY_BE_EMPTY)
SHIPPED = Profile(
    name="stillhere",
    excludes=EXCLUDES,
    required=("creds.json", "store.db"),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    formats=(("*.json", "json"), ("store.db", "sqlite")),
    identity=shipped_identity,
)
KNOWN = {profile.name: profile for profile in (GENERIC, SHIPPED)}


def profile_for(folder: Path, name: str = "auto") -> Profile:
    """Return the profile called `name`; for "auto", or a name not known, the one that fits."""
    if name in KNOWN:
        return KNOWN[name]
    return SHIPPED if shipped_identity(folder) is not None else GENERIC
