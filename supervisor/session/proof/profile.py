"""Which kind of session is this? The kinds that are known, and how one is chosen.

A new kind is one file in `kinds/` and one name here. A preset may bring its own Profile.
"""

from collections.abc import Iterator
from pathlib import Path

from supervisor.session.proof.kinds.baileys import BAILEYS
from supervisor.session.proof.kinds.chromium import CHROMIUM
from supervisor.session.proof.kinds.generic import GENERIC
from supervisor.session.proof.kinds.matrix_nio import NIO
from supervisor.session.proof.kinds.model import (
    Profile,
    expected_identity,
    identifies,
    identity_problems,
    left_out,
    unsettled,
)
from supervisor.session.proof.kinds.neonize import NEONIZE
from supervisor.session.proof.kinds.shipped import SHIPPED
from supervisor.session.proof.kinds.telethon import PYROGRAM, TELETHON
from supervisor.session.scan import NO_RIGHTS, OUR_LACKS

__all__ = [
    "GENERIC",
    "KNOWN",
    "SHIPPED",
    "Profile",
    "expected_identity",
    "fitting",
    "identifies",
    "identity_of",
    "identity_problems",
    "left_out",
    "profile_for",
    "unsettled",
]

# In the order in which they are tried.
_KINDS = (SHIPPED, BAILEYS, CHROMIUM, NEONIZE, TELETHON, PYROGRAM, NIO)
KNOWN = {profile.name: profile for profile in (*_KINDS, GENERIC)}


def profile_for(folder: Path, name: str = "auto") -> Profile:
    """Return the profile called `name`; for "auto", or a name not known, the one that fits.

    Raises: OSError where we have no descriptor or memory left.
    """
    if name in KNOWN:
        return KNOWN[name]
    return next(fitting(folder), GENERIC)


def fitting(folder: Path) -> Iterator[Profile]:
    """Yield the kinds that fit a folder, the likeliest first. Raises: as `profile_for`."""
    return (profile for profile in _KINDS if _fits(profile, folder))


def identity_of(profile: Profile, folder: Path) -> str | None:
    """Return whose device a live session is; None also where its disk does not say.

    Raises: OSError where that says nothing about the disk.
    """
    try:
        return profile.identity(folder)
    except OSError as error:
        if error.errno in (*OUR_LACKS, *NO_RIGHTS):
            raise
        return None


def _fits(profile: Profile, folder: Path) -> bool:
    try:
        return profile.fits(folder)
    except OSError as error:
        if error.errno in OUR_LACKS:
            raise
        return False
