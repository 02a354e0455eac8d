"""The phone, as a Python object: scan, send, receive, list and remove devices.

It keeps its own keys in `<data>/phone/`. It seals what it sends to the device's latest published
key, trusts only devices whose QR code it scanned, and counts every reply that it sees: an answer
that came twice is seen twice. Several may be connected for the same number; all see all.
"""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bot import keys
from bot.keys import BadKeyError, BoxKey, Identity
from bot.phone_wire import PhoneError, Wire
from bot.protocol import (
    DEFAULT_ACCOUNT,
    TEXT_CHARS,
    Frame,
    ProtocolError,
    data_dir,
    qr_decode,
    read_address,
    write_private,
)

_REQUEST_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came from a device. `re`: the id of the message it answers; '' for a reminder."""

    id: str
    re: str
    device: str
    text: str
    seen_mono: float  # seconds of the machine's monotonic clock


class PhoneClient:
    """A phone."""

    def __init__(
        self,
        data: Path | str | None = None,
        *,
        number: str = "",
        acknowledge: Literal["all", "own"] = "all",
    ) -> None:
        """Make a phone whose server keeps its files in `data`.

        `acknowledge`: "own" leaves what this client did not ask for to the next one that connects.
        """
        self.data = Path(data) if data is not None else data_dir()
        self.replies: list[Reply] = []
        self.undecryptable: set[str] = set()
        self._acknowledge = acknowledge
        self._seen = threading.Condition()
        self._wire: Wire | None = None
        self._one = threading.RLock()  # one request at a time
        self._sent: set[str] = set()
        self._met: set[str] = set()
        self._device_keys: dict[str, Frame] = {}
        self._load(number)

    def _load(self, number: str) -> None:
        self._file = self.data / "phone" / "phone.json"
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            kept = {"number": number or DEFAULT_ACCOUNT, "devices": {}}
            kept |= {"sign": keys.b64(Identity().private), "key": keys.b64(BoxKey().private)}
        self._kept: dict[str, Any] = kept
        if number and number != kept["number"]:
            hint = f"another phone needs another data folder, not {self.data}"
            raise PhoneError(f"this phone has the number {kept['number']}", hint)
        self.number: str = kept["number"]
        self._identity = Identity(keys.unb64(kept["sign"]))
        self._key = BoxKey(keys.unb64(kept["key"]))

    def _save(self) -> None:
        for folder in (self.data, self._file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.parent.chmod(0o700)
        write_private(self._file, json.dumps(self._kept, indent=1) + "\n")

    # --- the connection ---

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self, timeout_s: float = _REQUEST_S) -> None:
        """Connect, if not connected.

        Raises: PhoneError.
        """
        with self._one:
            if self._wire is not None and self._wire.alive:
                return
            self.close()
            if not self._file.exists():
                self._save()  # before the server knows our keys: they must not get lost
            wire = Wire(self.data, timeout_s, self._pushed)
            sign, key = keys.b64(self._identity.public), keys.b64(self._key.public)
            signed = keys.transcript("phone login", wire.nonce, self.number, sign, key)
            login = {"account": self.number, "sign": sign, "key": key}
            try:
                wire.send("phone", **login, sig=self._identity.sign(signed))
                wire.expect("welcome", timeout_s)
            except PhoneError:
                wire.close()
                raise
            self._wire = wire

    def close(self) -> None:
        """Disconnect."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _ask(self, op: str, answer: str, timeout_s: float = _REQUEST_S, **fields: Any) -> Frame:
        """Send a request and return its answer; reconnect if the server was restarted.

        Raises: PhoneError.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with self._one:
                    self.connect(max(0.1, deadline - time.monotonic()))
                    assert self._wire is not None  # noqa: S101 (connect made it or raised)
                    self._wire.send(op, **fields)
                    return self._wire.expect(answer, max(0.1, deadline - time.monotonic()))
            except PhoneError as problem:
                if not problem.gone or time.monotonic() >= deadline:
                    raise
            with self._seen:
                self._seen.wait(0.05)

    def _pushed(self, frame: Frame) -> None:
        """Take what came unasked. Called by the connection's thread."""
        if frame["op"] == "status":
            if frame["status"] == "undecryptable":
                self.undecryptable.add(frame["id"])
            else:
                self.undecryptable.discard(frame["id"])
        elif frame["op"] == "reply":
            reply = self._open(frame)
            with self._seen:
                self.replies.append(reply)
            wire = self._wire
            if wire is not None and (self._acknowledge == "all" or reply.re in self._sent):
                wire.send("got", id=reply.id)
        with self._seen:
            self._seen.notify_all()

    def _open(self, frame: Frame) -> Reply:
        head = (frame["id"], frame["re"], frame["device"])
        signed = keys.transcript("reply", *head, frame["eph"], frame["box"])
        text = "(unreadable: it is not from a device that this phone linked)"
        for sign in self._trusted(frame["device"]):
            with contextlib.suppress(BadKeyError):
                keys.verify(keys.unb64(sign), frame["sig"], signed)
                plain = self._key.open(frame, keys.transcript("reply", *head))
                text = plain.decode("utf-8", "replace")
        return Reply(*head, text, time.monotonic())

    def _trusted(self, device: str) -> list[str]:
        """Return the identity keys of what this phone scanned; another process may have."""
        if device not in self._met:
            self._met.add(device)
            with contextlib.suppress(OSError, ValueError):
                self._kept["devices"] |= json.loads(self._file.read_text())["devices"]
        return list(self._kept["devices"].values())

    # --- what a person does with a phone ---

    def scan(self, payload: str = "", timeout_s: float = 60.0) -> str:
        """Link the bot whose QR code this is; return the device's id.

        Without a payload: the code that the bot shows on this machine's screen now or soon.

        Raises: PhoneError.
        """
        deadline = time.monotonic() + timeout_s
        payload = payload or self._look_at_screen(deadline)
        try:
            code = qr_decode(payload)
        except ProtocolError as problem:
            raise PhoneError(str(problem), "scan the code that the bot shows") from None
        address = read_address(self.data)
        if address is None or code["address"] != f"{address[0]}:{address[1]}":
            raise PhoneError("this QR code belongs to another chat server", "scan the new one")
        name = keys.fingerprint(keys.unb64(code["sign"]))
        self._kept["devices"][name] = code["sign"]  # before the link: it may answer at once
        self._save()
        ours = keys.b64(self._identity.public), keys.b64(self._key.public)
        link = ("link", self.number, code["sign"], code["key"], *ours)
        mac = keys.proof_of(code["secret"].encode(), *link)
        wait_s = max(1.0, deadline - time.monotonic())
        linked = self._ask("link", "link_ok", wait_s, ref=code["ref"], sign=code["sign"], mac=mac)
        if linked["fingerprint"] != name:
            raise PhoneError("the server linked another device than the one scanned")
        return str(linked["device"])

    def _look_at_screen(self, deadline: float) -> str:
        screen = self.data / "screen.qr"
        while True:
            try:
                return screen.read_text(encoding="utf-8")
            except OSError:
                if time.monotonic() >= deadline:
                    hint = "start the bot, or give the code's text: scan PAYLOAD"
                    raise PhoneError("no bot shows a QR code here", hint) from None
            with self._seen:
                self._seen.wait(0.05)

    def send(self, text: str, device: str = "", timeout_s: float = _REQUEST_S) -> str:
        """Send a message to the device (the one linked last); return the message's id.

        When it returns, the server has it for good. Raises: PhoneError.
        """
        if len(text) > TEXT_CHARS:
            raise PhoneError(f"a message has at most {TEXT_CHARS} characters")
        device = device or self._last_device()
        message_id = keys.token(18)
        self._sent.add(message_id)
        deadline = time.monotonic() + timeout_s
        while True:
            key = self._device_keys.get(device) or self._fetch_key(device)
            head = (message_id, device, key["id"])
            sealed = keys.seal(
                keys.unb64(key["pub"]), text.encode(), keys.transcript("message", *head)
            )
            signed = keys.transcript("message", *head, sealed["eph"], sealed["box"])
            frame = {"id": message_id, "device": device, "key": key["id"], **sealed}
            left_s = max(0.1, deadline - time.monotonic())
            try:
                self._ask("send", "sent", left_s, **frame, sig=self._identity.sign(signed))
            except PhoneError as problem:
                # The device moved on meanwhile: seal it anew, to its newest key.
                if problem.message != "stale_key" or time.monotonic() >= deadline:
                    raise
                self._device_keys.pop(device, None)
            else:
                return message_id

    def _last_device(self) -> str:
        known = self.devices()
        if not known:
            raise PhoneError("no bot is linked to this phone", "link it: make scan")
        return str(known[-1]["id"])

    def _fetch_key(self, device: str) -> Frame:
        answer = self._ask("key", "key", device=device)
        sign = str(answer["sign"])
        if sign not in self._trusted(device):
            raise PhoneError(f"this phone never scanned the code of device {device}")
        key: Frame = answer["key"]
        keys.check_published(keys.unb64(sign), key["id"], key["pub"], key["sig"])
        self._device_keys[device] = key
        return key

    def answers(self, message_id: str) -> list[Reply]:
        """Return the answers to a message seen so far: exactly one, if all is well."""
        with self._seen:
            return [reply for reply in self.replies if reply.re == message_id]

    def unasked(self) -> list[Reply]:
        """Return what devices sent on their own account, reminders say, seen so far."""
        with self._seen:
            return [reply for reply in self.replies if not reply.re]

    def wait_reply(self, message_id: str = "", timeout_s: float = _REQUEST_S) -> Reply:
        """Return the first answer to this message; without an id, the first thing unasked.

        Raises: PhoneError if none came in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self._seen:
                found = [reply for reply in self.replies if reply.re == message_id]
                if found:
                    return found[0]
                left_s = deadline - time.monotonic()
                if message_id in self.undecryptable or left_s <= 0:
                    break
                self._seen.wait(min(left_s, 0.1))
            if self._wire is None or not self._wire.alive:
                try:
                    self.connect(max(0.1, left_s))
                except PhoneError as problem:
                    if not problem.gone:
                        raise
        if message_id in self.undecryptable:
            raise PhoneError("the bot could not decrypt it", "its session is older than its keys")
        raise PhoneError(f"no answer within {timeout_s:g} s", "it waits on the server")

    def wait_more(self, count: int, timeout_s: float) -> None:
        """Wait until more than `count` replies were seen; at most so long."""
        with self._seen:
            self._seen.wait_for(lambda: len(self.replies) > count, timeout_s)

    def settle(self, timeout_s: float) -> None:
        """Wait until all that was sent here is answered; at most so long."""
        with self._seen:
            self._seen.wait_for(
                lambda: self._sent <= {reply.re for reply in self.replies}, timeout_s
            )

    def state(self, message_id: str) -> str:
        """Return queued, delivered or undecryptable; '' for a message the server never got."""
        return str(self._ask("state", "state", id=message_id)["state"])

    def devices(self) -> list[dict[str, Any]]:
        """Return the linked devices, the newest last: id, fingerprint, linked_at, online, ..."""
        return list(self._ask("devices", "devices")["devices"])

    def remove(self, device: str = "") -> str:
        """Remove a device (the one linked last); return its id. It is logged out for good."""
        return str(self._ask("remove", "removed", device=device or self._last_device())["device"])
