"""A Chromium profile: whatsapp-web.js LocalAuth, Playwright, Puppeteer with a user data folder.

Only here a name like `Cache` is a cache. What a site has stored lies in LevelDB folders
(IndexedDB, Local Storage) and in SQLite files (Cookies); the browser makes all else anew.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile
from supervisor.session.proof.leveldb_values import value_of

_LOCAL_STORAGE = "Local Storage/leveldb"
# The newer name first: WhatsApp Web has the linked device there, and shows it nobody as a secret.
_WID_KEYS = ("last-wid-md", "last-wid")
_WID = re.compile(r"\d{5,20}(:\d{1,5})?@[a-z.]{1,20}")
WHATSAPP = "https://web.whatsapp.com"
_PROFILES_MAX = 16

# What a login may lie in. Cookies moved into Network/ in Chromium 96.
_STORES = ("Local Storage/leveldb/CURRENT", "IndexedDB/*/CURRENT", "Cookies", "Network/Cookies")
# Locks of dead processes, and caches: a quarter to a half of a small profile.
CACHES = (
    "LOCK",
    "Singleton*",
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


def is_chromium(folder: Path) -> bool:
    """Return whether `folder` is a user data folder, or what RemoteAuth leaves of one."""
    inside = folder / "Default"
    if (folder / "Local State").is_file():
        return inside.is_dir() or any(folder.glob("Profile *"))
    if (inside / "Preferences").is_file():
        return True
    return (inside / "Local Storage" / "leveldb").is_dir() and (inside / "IndexedDB").is_dir()


def chromium_identity(folder: Path, origin: str = WHATSAPP) -> str | None:
    """Return the device that WhatsApp Web is linked as, `<number>:<device>@c.us`; else None.

    What other sites keep says nothing to us.
    """
    for profile in _profiles(folder):
        for name in _WID_KEYS:
            stored = local_storage(profile, origin, name)
            word = json_word(stored)
            if _WID.fullmatch(word):
                return word
    return None


def local_storage(profile: Path, origin: str, name: str) -> str:
    """Return what a site has under `name` in its localStorage; "" for nothing. Raises: OSError.

    Read in Chromium's `components/services/storage/dom_storage/local_storage_impl.cc` and
    `cached_storage_area.cc` (a byte before each text says in what it is written).
    """
    key = f"_{origin}\0\1{name}".encode("latin-1")
    value = value_of(str(profile / _LOCAL_STORAGE), key) or b""
    encoding = {0: "utf-16-le", 1: "latin-1"}.get(value[0] if value else 2)
    return value[1:].decode(encoding, "replace") if encoding else ""


def json_word(text: str) -> str:
    """Return the text in a JSON string; what is no JSON is one itself."""
    try:
        word = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return word if isinstance(word, str) else ""


def _profiles(folder: Path) -> Iterator[Path]:
    yield folder / "Default"
    for _number, path in zip(range(_PROFILES_MAX), sorted(folder.glob("Profile *")), strict=False):
        yield path


CHROMIUM = Profile(
    name="chromium",
    fits=is_chromium,
    excludes=(*EXCLUDES, *CACHES),
    required=("|".join(f"*/{store}" for store in _STORES),),
    # These Chromium never removes, whatever a site does; the last is where WhatsApp's keys lie.
    kept=(
        f"*/{_LOCAL_STORAGE}/CURRENT",
        "*/Cookies",
        "*/IndexedDB/https_web.whatsapp.com_0.indexeddb.leveldb/CURRENT",
    ),
    # Chromium itself mends or replaces each of the others without a login.
    vital=(
        "Local State",
        "*/Preferences",
        "*/Cookies",
        "*/Local Storage/*",
        "*/IndexedDB/*",
    ),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    formats=(("Local State", "json"), ("*/Preferences", "json")),
    identity=chromium_identity,
    identified_by=(f"*/{_LOCAL_STORAGE}/*",),
    # A site may call its keys otherwise tomorrow: that is no damage.
    identity_may_go=True,
    settle_s=35.0,
)
