"""A Chromium profile: whatsapp-web.js LocalAuth, Playwright, Puppeteer with a user data folder.

Only here a name like `Cache` is a cache. What a site has stored lies in LevelDB folders
(IndexedDB, Local Storage) and in SQLite files (Cookies); the browser makes all else anew.
"""

from pathlib import Path

from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile

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


CHROMIUM = Profile(
    name="chromium",
    fits=is_chromium,
    excludes=(*EXCLUDES, *CACHES),
    required=("|".join(f"*/{store}" for store in _STORES),),
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
    settle_s=35.0,
)
