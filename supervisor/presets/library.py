"""The presets that come with us: one file each in known/, in the order in which they are tried."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from supervisor.config.load import load_preset
from supervisor.config.preset import Preset

KNOWN = Path(__file__).parent / "known"
# The most special first: a whatsapp-web.js bot is a browser's, too.
ORDER = (
    "contract",
    "whatsapp-web.js",
    "baileys",
    "neonize",
    "telethon",
    "matrix-nio",
    "chromium",
    "generic",
)


@cache
def known() -> Mapping[str, Preset]:
    """Return all presets that come with us, by name, in the order in which they are tried."""
    return {name: load_preset(KNOWN / f"{name}.toml") for name in ORDER}
