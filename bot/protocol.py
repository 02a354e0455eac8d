"""The protocol between the chat server, the bot's device and the phone.

Framing: JSON objects, one a line, UTF-8, at most 64 KiB. `op` names the kind. Binary is base64url.
The server speaks first: `hello {nonce}`. A muted server accepts and says nothing.

A device is linked once:
    > pair {sign, key}               its identity and its key number 1, signed
    < ref {ref, ttl_s}               again every 20 s; the QR code shows ref, keys and a secret
    < linked {device, account, phone_sign, phone_key, mac}
                                     mac: made with the QR's secret, which the server never sees,
                                     so it can swap nobody's keys
    > pair_done {}                   after the session is on the disk
    < pair_ok {}                     the device closes and logs in

and then proves itself:
    > login {device, sig, generation, pid, since}      sig: over the nonce
    < welcome {device, eph, key, queued, conn}         the published key; a key of this connection
    < probe {eph, box}               sealed to the published key: only the newest session opens it
    > probe_answer {proof} or probe_failed {}
    < probe_ok {} or probe_noted {}
    < message {seq, id, key, box...} one at a time, in order
    > reply {id, re, box...}         < accepted {id, double}: the id follows from the message's
    > ack {seq, id, next}            next: key k+1, signed, with a proof of key k < acked {seq, key}
    > undecryptable {seq, id}        kept as 'undecryptable', the phone sees it so < acked
    > bye {} < bye {}
    < close {code, reason}           401 device removed, 403 wrong key, 440 replaced

Keys move forward: the device writes key k+1 to its session before it acknowledges the message that
it handled; the acknowledgement publishes it. Senders must seal to the latest published key (the
server refuses others), so key numbers never fall in a device's queue, and the device drops all
below the one being handled. Publishing k+1 takes a proof of key k, made with the connection's key:
a device with other keys can log in, is deaf, and can't overwrite what is published. It may
acknowledge what it could still open, but moves no key by it. What such a device could not open is
tried again when one that answers the probe logs in.

The phone:
    > phone {account, sign, key, sig}                  < welcome {account, new}
    > link {ref, sign, mac}          < link_ok {device, fingerprint} or refused
    > key {device}                   < key {device, sign, key}
    > send {id, device, key, box...} < sent {id} or refused {reason: stale_key}
    < reply {id, re, device, box...} > got {id}        < status {id, status} as it changes
    > state {id}                     < state {id, state}
    > devices {} < devices {devices} > remove {device} < removed {device}
An operator on this machine, with the admin token: > admin {token, do: mute|stats, on}
"""

import json
import os
from pathlib import Path
from typing import Any

LINE_BYTES = 64 * 1024
TEXT_CHARS = 8_000  # of one chat message: sealed and framed it stays below a line
REF_TTL_S = 20.0
DEFAULT_ACCOUNT = "971505760056"
QR_PREFIX = "stillhere:1"

REMOVED = 401
WRONG_KEY = 403
REPLACED = 440

Frame = dict[str, Any]


class ProtocolError(Exception):
    """What came is not the protocol. The connection is closed, nothing else happens."""


def encode(frame: Frame) -> bytes:
    """Return the frame as a line."""
    return json.dumps(frame, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Frame:
    """Return the frame of a line.

    Raises: ProtocolError.
    """
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("not a JSON line") from None
    if not isinstance(frame, dict) or not isinstance(frame.get("op"), str):
        raise ProtocolError("not an object with an op")
    return frame


def text(frame: Frame, key: str, most: int = 256) -> str:
    """Return a field that must be a text of at most so many characters.

    Raises: ProtocolError.
    """
    value = frame.get(key)
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ProtocolError(f"{key}: not a text of at most {most} characters")
    return value


def number(frame: Frame, key: str) -> int:
    """Return a field that must be a whole number of 0 to 2^53.

    Raises: ProtocolError.
    """
    value = frame.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 53:
        raise ProtocolError(f"{key}: not a whole number")
    return value


def box(frame: Frame) -> dict[str, str]:
    """Return the sealed part of a frame.

    Raises: ProtocolError.
    """
    return {"eph": text(frame, "eph", 64), "box": text(frame, "box", LINE_BYTES)}


def part(frame: Frame, key: str) -> Frame:
    """Return a field that must be an object.

    Raises: ProtocolError.
    """
    value = frame.get(key)
    if not isinstance(value, dict):
        raise ProtocolError(f"{key}: not an object")
    return value


# --- where things lie ---


def data_dir() -> Path:
    """Return the chat server's folder: STILLHERE_CHAT_DATA, else .chat-server/ here."""
    return Path(os.environ.get("STILLHERE_CHAT_DATA") or ".chat-server")


def read_address(data: Path) -> tuple[str, int] | None:
    """Return the running server's address; None if it never ran here."""
    try:
        host, _, port = (data / "address").read_text(encoding="ascii").strip().rpartition(":")
        return host, int(port)
    except (OSError, ValueError):
        return None


def write_private(path: Path, content: str, *, sync: bool = True) -> None:
    """Write a file that only we may read, at once or not at all."""
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, 0o600)
        file.write(content)
        file.flush()
        if sync:
            os.fsync(fd)
    temp.replace(path)
    if sync:
        sync_dir(path.parent)


def sync_dir(folder: Path) -> None:
    """Commit the folder's entries to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- the QR code ---


def qr_encode(address: tuple[str, int], ref: str, sign: str, key: str, secret: str) -> str:
    """Return what the QR code says. The secret in it never passes through the server."""
    return ",".join((QR_PREFIX, f"{address[0]}:{address[1]}", ref, sign, key, secret))


def qr_decode(payload: str) -> dict[str, str]:
    """Return the parts of a QR code: address, ref, sign, key, secret.

    Raises: ProtocolError.
    """
    prefix, *parts = payload.strip().split(",")
    names = ("address", "ref", "sign", "key", "secret")
    if prefix != QR_PREFIX or len(parts) != len(names):
        raise ProtocolError("this is not the QR code of a stillhere bot")
    return dict(zip(names, parts, strict=True))
