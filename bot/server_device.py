"""The chat server's side of a bot's device: pairing, login, probe, delivery, keys that move on.

It decides who may be this device, which connection is the one, and which key is published.
"""

import asyncio
import contextlib
import hashlib
import math

from bot import keys
from bot.keys import BadKeyError, BoxKey
from bot.protocol import (
    REMOVED,
    REPLACED,
    WRONG_KEY,
    Frame,
    ProtocolError,
    box,
    number,
    part,
    text,
)
from bot.server_hub import Conn, Hub
from bot.server_store import Row


class PairingPeer:
    """A bot that has no session yet and shows a QR code."""

    def __init__(self, hub: Hub, conn: Conn) -> None:
        self._hub = hub
        self._conn = conn
        self._refs: list[str] = []
        self._key: Row = {}
        self._phone: Conn | None = None
        self._device = ""
        self._account = ""
        self.sign = ""

    async def run(self, first: Frame) -> None:
        """Serve the bot until it is linked or gone.

        Raises: ProtocolError, BadKeyError.
        """
        self.sign = text(first, "sign", 64)
        key = part(first, "key")
        self._key = {"id": number(key, "id"), "pub": text(key, "pub", 64), "sig": text(key, "sig")}
        public = keys.check_published(
            keys.unb64(self.sign), self._key["id"], self._key["pub"], self._key["sig"]
        )
        BoxKey().shared(public, "usable")
        rotation = asyncio.create_task(self._rotate())
        try:
            while (frame := await self._conn.recv()) is not None:
                if frame["op"] == "pair_done" and self._device:
                    self._done()
                    return
                if frame["op"] == "pair_refuse" and self._phone:
                    self._refuse_phone("the bot did not accept this phone's proof")
        finally:
            rotation.cancel()
            for ref in self._refs:
                self._hub.pairings.pop(ref, None)
            self._refuse_phone("the bot went away while it was being linked")

    async def _rotate(self) -> None:
        """Give the bot a new reference now and then. The one before stays good for late scans."""
        while True:
            ref = keys.token()
            self._refs.append(ref)
            self._hub.pairings[ref] = self
            for old in self._refs[:-2]:
                self._hub.pairings.pop(old, None)
            del self._refs[:-2]
            self._conn.send("ref", ref=ref, ttl_s=self._hub.ref_ttl_s)
            await asyncio.sleep(self._hub.ref_ttl_s)

    def offer(self, phone: Conn, frame: Frame, account: Frame) -> None:
        """Pass on what the phone said after it scanned the code."""
        self._hub.pairings.pop(frame["ref"], None)
        self._refuse_phone("another phone scanned the same code")
        name = keys.fingerprint(keys.unb64(self.sign))
        self._phone, self._account = phone, account["number"]
        self._device = self._hub.store.add_device(self._account, self.sign, name, self._key)
        self._conn.send(
            "linked",
            device=self._device,
            account=self._account,
            phone_sign=account["sign"],
            phone_key=account["key"],
            mac=frame["mac"],
        )

    def _done(self) -> None:
        self._hub.store.link(self._device)
        name = keys.fingerprint(keys.unb64(self.sign))
        self._hub.log("device_linked", device=self._device, identity=f"{self._device}:{name}")
        self._conn.send("pair_ok")
        if self._phone is not None:
            self._phone.send("link_ok", device=self._device, fingerprint=name)
            self._phone = None

    def _refuse_phone(self, reason: str) -> None:
        phone, self._phone = self._phone, None
        if phone is not None:
            self._device = ""
            phone.send("refused", what="link", reason=reason)


class DevicePeer:
    """A connected device."""

    def __init__(self, hub: Hub, conn: Conn) -> None:
        self._hub = hub
        self._conn = conn
        self._eph = BoxKey()
        self._device: Row = {}
        self._in_flight: Row | None = None
        self._probe = ""
        self._proved: bool | None = None  # None: the probe is not answered yet
        self._why = "gone"
        self._about: Row = {}
        self.ended = asyncio.Event()

    async def run(self, first: Frame) -> None:
        """Serve the device until it leaves, is replaced, or is removed.

        Raises: ProtocolError, BadKeyError.
        """
        device_id = text(first, "device")
        since = first.get("since")
        self._about = {
            "device": device_id,
            "generation": number(first, "generation"),
            "pid": number(first, "pid"),
            "conn": self._conn.id,
            "since": since if isinstance(since, float) and math.isfinite(since) else None,
        }
        device = self._hub.store.device(device_id)
        refusal = self._refusal(device, text(first, "sig"))
        if device is None or refusal is not None:
            code, reason = refusal or (REMOVED, "device unknown")
            self._hub.log("login_refused", **self._about, code=code, reason=reason)
            self._hub.store.count(device_id if device else "", "refused")
            self._conn.send("close", code=code, reason=reason)
            return
        self._device = device
        self._about["identity"] = f"{device_id}:{device['fingerprint']}"
        await self._take_over(device_id)
        try:
            await self._serve(device_id)
        except ProtocolError:
            self._why = "protocol error"
            raise
        finally:
            self._leave(device_id)

    def _refusal(self, device: Row | None, sig: str) -> tuple[int, str] | None:
        if device is None:
            return REMOVED, "device unknown"
        try:
            signed = keys.transcript("login", self._conn.nonce, device["id"])
            keys.verify(keys.unb64(device["sign"]), sig, signed)
        except BadKeyError:
            return WRONG_KEY, "wrong key"
        return (REMOVED, "device removed") if device["state"] == "removed" else None

    async def _take_over(self, device_id: str) -> None:
        """Become the device's one connection."""
        replaced = None
        while (other := self._hub.devices.get(device_id)) is not None:
            if not isinstance(other, DevicePeer) or not other.gone():
                replaced = other
                break
            # It is gone, we only have not read its last words yet. They come first.
            async with asyncio.timeout(5):
                await other.ended.wait()
        self._hub.devices[device_id] = self
        self._hub.store.count(device_id, "connects")
        if self._hub.store.link(device_id):  # it was killed between its disk and its last word
            self._hub.log("device_linked", device=device_id, identity=self._about["identity"])
        self._hub.log("connected", **self._about)
        if replaced is not None:
            self._hub.store.count(device_id, "conflicts")
            others = replaced.about if isinstance(replaced, DevicePeer) else {}
            self._hub.log("conflict", **self._about, replaced=others)
            replaced.end(REPLACED, "replaced")

    @property
    def about(self) -> Row:
        """Who this connection says it is."""
        return self._about

    def gone(self) -> bool:
        """Whether the other end closed the connection already."""
        return self._conn.gone()

    async def _serve(self, device_id: str) -> None:
        store, device = self._hub.store, self._device
        store.seen(device_id)
        self._conn.send(
            "welcome",
            device=device_id,
            conn=self._conn.id,
            eph=keys.b64(self._eph.public),
            key={"id": device["key_id"], "pub": device["key_pub"]},
            queued=store.queued(device_id),
        )
        self._probe = keys.token()
        aad = keys.transcript("probe", device_id, self._conn.id)
        sealed = keys.seal(keys.unb64(device["key_pub"]), self._probe.encode(), aad)
        self._conn.send("probe", **sealed)
        self._hub.log("probe_sent", **self._about, key=device["key_id"])
        while (frame := await self._conn.recv()) is not None:
            if self._hub.devices.get(device_id) is not self:
                return  # replaced or removed: what it says no longer counts
            if frame["op"] == "bye":
                self._why = "bye"
                self._conn.send("bye")
                return
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        match frame["op"]:
            case "reply":
                self._reply(frame)
            case "ack" | "undecryptable" as op:
                self._settle(op, frame)
            case "probe_answer" if self._proved is None:
                proof = text(frame, "proof")
                keys.check_proof(self._probe.encode(), proof, self._device["id"], self._conn.id)
                self._probed(proved=True)
            case "probe_failed" if self._proved is None:
                self._probed(proved=False)
            case op:
                raise ProtocolError(f"{op[:20]!r} is nothing a device says now")

    def _probed(self, *, proved: bool) -> None:
        self._proved = proved
        device_id = self._device["id"]
        digest = hashlib.sha256(self._probe.encode()).hexdigest()[:16]
        event = "probe_answered" if proved else "probe_failed"
        self._hub.log(event, **self._about, key=self._device["key_id"], nonce=digest)
        self._hub.store.count(device_id, event)
        self._conn.send("probe_ok" if proved else "probe_noted")
        if proved and (again := self._hub.store.requeue(device_id)):
            self._hub.log("requeued", device=device_id, messages=again)
        self.pump()

    def pump(self) -> None:
        """Deliver the next message, if there is one and the last is done."""
        if self._in_flight is not None or self._proved is None:
            return
        self._in_flight = row = self._hub.store.next_message(self._device["id"])
        if row is not None:
            fields = {name: row[name] for name in ("seq", "id", "eph", "box", "sig")}
            self._conn.send("message", key=row["key_id"], **fields)

    def _reply(self, frame: Frame) -> None:
        reply = {
            "id": text(frame, "id", 64),
            "re": text(frame, "re", 64),
            "device": self._device["id"],
            **box(frame),
            "sig": text(frame, "sig"),
        }
        double = self._hub.store.reply(self._device, reply)
        event = "reply_duplicate" if double else "reply_accepted"
        self._hub.log(event, id=reply["id"], re=reply["re"], **self._about)
        self._conn.send("accepted", id=reply["id"], double=double)
        if not double:
            self._hub.tell_phones(self._device["account"], "reply", **reply)

    def _settle(self, op: str, frame: Frame) -> None:
        """Take the message in flight off the queue, as handled or as undecryptable."""
        row = self._in_flight
        if row is None or number(frame, "seq") != row["seq"]:
            raise ProtocolError("this message is not in flight")
        store, device_id = self._hub.store, self._device["id"]
        state = "delivered" if op == "ack" else "undecryptable"
        if op == "ack":
            key = self._next_key(frame) if self._proved else None
            store.delivered(row["seq"], device_id, key)
            if key is not None:
                self._device |= {"key_id": key["id"], "key_pub": key["pub"], "key_sig": key["sig"]}
        else:
            store.undecryptable(row["seq"], proved=bool(self._proved))
            store.count(device_id, "undecryptable")
        event = "message_delivered" if op == "ack" else "message_undecryptable"
        self._hub.log(event, id=row["id"], seq=row["seq"], key=row["key_id"], **self._about)
        self._in_flight = None
        self._conn.send("acked", seq=row["seq"], key=self._device["key_id"])
        account = self._device["account"]
        self._hub.tell_phones(account, "status", id=row["id"], status=state)
        self.pump()

    def _next_key(self, frame: Frame) -> Row:
        """Return the device's next key, if it proves that it holds the published one.

        Raises: ProtocolError, BadKeyError.
        """
        new = part(frame, "next")
        key_id, public, sig = number(new, "id"), text(new, "pub", 64), text(new, "sig")
        if key_id != self._device["key_id"] + 1:
            raise ProtocolError("keys move forward by one")
        raw = keys.check_published(keys.unb64(self._device["sign"]), key_id, public, sig)
        BoxKey().shared(raw, "usable")
        shared = self._eph.shared(keys.unb64(self._device["key_pub"]), "advance")
        device_id = self._device["id"]
        keys.check_proof(shared, text(new, "proof"), device_id, self._conn.id, key_id, public)
        return {"id": key_id, "pub": public, "sig": sig}

    def end(self, code: int, reason: str) -> None:
        """Send the device away."""
        self._why = reason
        self._conn.send("close", code=code, reason=reason)
        self._conn.close()
        self._leave(self._device["id"])

    def _leave(self, device_id: str) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        if self._hub.devices.get(device_id) is self:
            del self._hub.devices[device_id]
        with contextlib.suppress(Exception):  # the store may be closed: the server stops
            self._hub.store.seen(device_id)
        self._hub.log("disconnected", **self._about, reason=self._why)
