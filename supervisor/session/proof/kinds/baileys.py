"""Baileys' useMultiFileAuthState: creds.json and one JSON file per key, one set together.

Read in baileys 6.17.16: `lib/Types/Auth.d.ts` (AuthenticationCreds),
`lib/Utils/use-multi-file-auth-state.js` (names; writes are not atomic, and a creds.json that does
not parse is replaced by fresh credentials), `lib/Utils/generics.js` (BufferJSON).
"""

import base64
import binascii
from pathlib import Path
from typing import Any

from supervisor.session.proof.kinds.generic import EXCLUDES, MAY_BE_EMPTY, REREAD
from supervisor.session.proof.kinds.model import Profile, json_object

# Of AuthenticationCreds those that have been there in each version, linked or not.
KEYS = ("noiseKey", "signedIdentityKey", "signedPreKey", "registrationId", "advSecretKey")
_KEY_BYTES = (32, 33)  # Curve25519, and with the type byte that libsignal puts before it


def is_baileys(folder: Path) -> bool:
    """Return whether `folder` has a creds.json with Baileys' keys in it."""
    creds = json_object(folder / "creds.json")
    return all(key in creds for key in KEYS)


def baileys_identity(folder: Path) -> str | None:
    """Return `<me.id>:<fingerprint of the identity's public key>`, or None before it is linked.

    The fingerprint is a hash: no key leaves the file.
    """
    creds = json_object(folder / "creds.json")
    me, pair = creds.get("me"), creds.get("signedIdentityKey")
    if not (isinstance(me, dict) and isinstance(pair, dict)):
        return None
    public = _buffer(pair.get("public"))
    device = me.get("id")
    if not (isinstance(device, str) and device) or len(public) not in _KEY_BYTES:
        return None
    import hashlib  # noqa: PLC0415 - 4 MB, with OpenSSL: for whom has such a session

    return f"{device}:{hashlib.sha256(public[-32:]).hexdigest()[:16]}"


def _buffer(value: Any) -> bytes:
    """Return what BufferJSON's reviver would: base64, or a list of bytes as Node itself writes."""
    if not isinstance(value, dict):
        return b""
    data = value.get("data") or value.get("value")
    try:
        if isinstance(data, str):
            return base64.b64decode(data, validate=True)
        return bytes(data) if isinstance(data, list) else b""
    except (binascii.Error, ValueError, TypeError):
        return b""


BAILEYS = Profile(
    name="baileys",
    fits=is_baileys,
    excludes=EXCLUDES,
    required=("creds.json",),
    reread=REREAD,
    may_be_empty=MAY_BE_EMPTY,
    formats=(("creds.json", f"json {' '.join(KEYS)}"), ("*.json", "json")),
    identity=baileys_identity,
    identified_by=("creds.json",),
)
