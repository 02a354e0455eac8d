"""Which kind of session is this? The kinds that are known, and how one is chosen.

A new kind is one file in `kinds/` and one name here. A preset may bring its own Profile.
"""

from pathlib import Path

from supervisor.session.proof.kinds.baileys import BAILEYS
from supervisor.session.proof.kinds.chromium import CHROMIUM
from supervisor.session.proof.kinds.generic import GENERIC
from supervisor.session.proof.kinds.model import (
    Profile,
    expected_identity,
    identity_problems,
    left_out,
    unsettled,
)
from supervisor.session.proof.kinds.shipped import SHIPPED

__all__ = [
    "GENERIC",
    "KNOWN",
    "SHIPPED",
    "Profile",
    "expected_identity",
    "identity_of",
    "identity_problems",
    "left_out",
    "profile_for",
    "unsettled",
]

# In the order in which they are tried.
_KINDS = (SHIPPED, BAILEYS, CHROMIUM)
KNOWN = {profile.name: profile for profile in (*_KINDS, GENERIC)}


def profile_for(folder: Path, name: str = "auto") -> Profile:
    """Return the profile called `name`; for "auto", or a name not known, the one that fits."""
    if name in KNOWN:
        return KNOWN[name]
    return next((profile for profile in _KINDS if _fits(profile, folder)), GENERIC)


def identity_of(profile: Profile, folder: Path) -> str | None:
    """Return whose device a live session is; None also where that can't be read."""
    try:
        return profile.identity(folder)
    except OSError:
        return None


def _fits(profile: Profile, folder: Path) -> bool:
    try:
        return profile.fits(folder)
    except OSError:
        return False
