"""The session of the bot that ships: creds.json and store.db."""

from pathlib import Path

from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile, json_object


def shipped_identity(folder: Path) -> str | None:
    """Return `<device>:<fingerprint>` from creds.json, or None where that can't be read."""
    creds = json_object(folder / "creds.json")
    device, fingerprint = creds.get("device"), creds.get("fingerprint")
    if not (isinstance(device, str | int) and isinstance(fingerprint, str)):
        return None
    return f"{device}:{fingerprint}" if fingerprint else None


SHIPPED = Profile(
    name="stillhere",
    fits=lambda folder: shipped_identity(folder) is not None,
    excludes=EXCLUDES,
    required=("creds.json", "store.db"),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    formats=(("*.json", "json"), ("store.db", "sqlite")),
    identity=shipped_identity,
    identified_by=("creds.json",),
    reports_same=True,
)
