"""Linking a new device to a phone by a QR code.

The code carries our public keys and a secret to the phone, past the server; the phone's keys come
back through the server with a MAC made with that secret. So neither side's keys can be swapped on
the way. The session is on the disk before the server is told that the link is done.
"""

import contextlib
import time
from pathlib import Path

from bot import keys
from bot.keys import BadKeyError, BoxKey, Identity
from bot.protocol import Frame, ProtocolError, qr_encode, text, write_private
from bot.session import Creds, save_new
from bot.transports import Host
from bot.transports.local_line import Line

_LONGEST_TTL_S = 3600
SCREEN = "screen.qr"  # what is on the screen, for a phone without a camera


async def pair(line: Line, host: Host, data: Path, address: tuple[str, int]) -> Creds:
    """Show QR codes until one is scanned; return the new session's creds.

    Raises: OSError, ProtocolError, BadKeyError, ClosedError, SessionLostError.
    """
    identity, key = Identity(), BoxKey()
    line.send("pair", sign=keys.b64(identity.public), key=keys.published(identity, 1, key.public))
    secrets: list[bytes] = []
    try:
        while True:
            frame = await line.recv()
            if frame["op"] == "ref":
                secrets = [*secrets[-1:], keys.token(16).encode()]
                _show(host, data, address, frame, (identity, key, secrets[-1]))
            elif frame["op"] == "linked":
                creds = _accept(frame, identity, key, secrets)
                if creds is not None:
                    break
                line.send("pair_refuse")
            else:
                raise ProtocolError(f"{frame['op'][:20]!r} came while pairing")
        save_new(host.folder, creds, key)
        line.send("pair_done")
        with contextlib.suppress(OSError, TimeoutError):  # our next login says the same
            await line.expect("pair_ok")
    finally:
        (data / SCREEN).unlink(missing_ok=True)
    host.qr("", 0)
    return creds


def _show(
    host: Host,
    data: Path,
    address: tuple[str, int],
    frame: Frame,
    ours: tuple[Identity, BoxKey, bytes],
) -> None:
    identity, key, secret = ours
    payload = qr_encode(
        address,
        text(frame, "ref"),
        keys.b64(identity.public),
        keys.b64(key.public),
        secret.decode(),
    )
    write_private(data / SCREEN, payload + "\n", sync=False)
    ttl = frame.get("ttl_s")
    sane = isinstance(ttl, int | float) and 0 <= ttl <= _LONGEST_TTL_S  # JSON knows Infinity
    host.qr(payload, float(ttl or 0) if sane else 0.0)


def _accept(frame: Frame, identity: Identity, key: BoxKey, secrets: list[bytes]) -> Creds | None:
    """Return the creds, if the phone proved that it saw one of our last two codes."""
    account, device = text(frame, "account"), text(frame, "device")
    phone = text(frame, "phone_sign"), text(frame, "phone_key")
    for secret in secrets:
        with contextlib.suppress(BadKeyError):
            ours = keys.b64(identity.public), keys.b64(key.public)
            keys.check_proof(secret, text(frame, "mac"), "link", account, *ours, *phone)
            return Creds(
                device=device,
                account=account,
                private=keys.b64(identity.private),
                fingerprint=identity.fingerprint,
                phone_sign=phone[0],
                phone_key=phone[1],
                linked_at=time.time(),
            )
    return None
