"""The chat server's side of a phone: its account, its devices, messages and replies."""

from bot import keys
from bot.protocol import REMOVED, Frame, ProtocolError, box, number, text
from bot.server_hub import Conn, Hub
from bot.server_store import Row


class PhonePeer:
    """A connected phone. Several may be connected for one account; all see all."""

    def __init__(self, hub: Hub, conn: Conn) -> None:
        self._hub = hub
        self._conn = conn
        self._account: Row = {}

    async def run(self, first: Frame) -> None:
        """Serve the phone until it leaves.

        Raises: ProtocolError, BadKeyError.
        """
        if not self._log_in(first):
            return
        phones = self._hub.phones.setdefault(self._account["number"], set())
        phones.add(self._conn)
        try:
            for row in self._hub.store.waiting_replies(self._account["number"]):
                names = ("id", "re", "device", "eph", "box", "sig")
                self._conn.send("reply", **{name: row[name] for name in names})
            while (frame := await self._conn.recv()) is not None:
                self._take(frame)
        finally:
            phones.discard(self._conn)

    def _log_in(self, first: Frame) -> bool:
        account, sign = text(first, "account", 32), text(first, "sign", 64)
        key = text(first, "key", 64)
        if not (account.isascii() and account.isdigit()):
            raise ProtocolError("an account is a phone number: digits only")
        signed = keys.transcript("phone login", self._conn.nonce, account, sign, key)
        keys.verify(keys.unb64(sign), text(first, "sig"), signed)
        row = self._hub.store.account(account)
        if row is None:
            self._hub.store.add_account(account, sign, key)
            self._hub.log("account_created", account=account)
        elif (row["sign"], row["key"]) != (sign, key):
            self._hub.log("login_refused", account=account, code=403, reason="another phone")
            reason = f"the number {account} belongs to another phone"
            self._conn.send("close", code=403, reason=reason)
            return False
        self._account = self._hub.store.account(account) or {}
        self._conn.send("welcome", account=account, new=row is None)
        return True

    def _take(self, frame: Frame) -> None:
        match frame["op"]:
            case "send":
                self._send(frame)
            case "got":
                self._hub.store.got_reply(self._account["number"], text(frame, "id", 64))
            case "key":
                self._key(frame)
            case "state":
                message_id = text(frame, "id", 64)
                state = self._hub.store.message_state(message_id)
                self._conn.send("state", id=message_id, state=state)
            case "link":
                self._link(frame)
            case "devices":
                self._devices()
            case "remove":
                self._remove(frame)
            case op:
                raise ProtocolError(f"{op[:20]!r} is nothing a phone says")

    def _device(self, frame: Frame) -> Row | None:
        """Return the named device, if it is one of this account's."""
        row = self._hub.store.device(text(frame, "device"))
        linked = row is not None and row["state"] == "linked"
        return row if row and linked and row["account"] == self._account["number"] else None

    def _key(self, frame: Frame) -> None:
        if (row := self._device(frame)) is None:
            self._conn.send("refused", what="key", reason="no_device")
        else:
            self._conn.send("key", device=row["id"], sign=row["sign"], key=_key_of(row))

    def _send(self, frame: Frame) -> None:
        message: Row = {
            "id": text(frame, "id", 64),
            "device": text(frame, "device"),
            "key": number(frame, "key"),
            **box(frame),
            "sig": text(frame, "sig"),
        }
        row = self._device(frame)
        if self._hub.store.message_state(message["id"]):
            self._conn.send("sent", id=message["id"])  # it has come before: once is enough
        elif row is None:
            self._conn.send("refused", what="send", reason="no_device")
        elif message["key"] != row["key_id"]:
            self._conn.send("refused", what="send", reason="stale_key", key=_key_of(row))
        elif self._hub.store.queue(message) == "full":
            self._conn.send("refused", what="send", reason="queue_full")
        else:
            fields = {name: message[name] for name in ("id", "device", "key")}
            self._hub.log("message_queued", **fields)
            self._conn.send("sent", id=message["id"])
            self._hub.pump(row["id"])

    def _link(self, frame: Frame) -> None:
        offer = {"ref": text(frame, "ref", 64), "mac": text(frame, "mac")}
        pairing = self._hub.pairings.get(offer["ref"])
        if pairing is None or pairing.sign != text(frame, "sign", 64):
            reason = "this QR code is not valid any more: scan the new one"
            self._conn.send("refused", what="link", reason=reason)
            return
        pairing.offer(self._conn, {"op": "link", **offer}, self._account)

    def _devices(self) -> None:
        listing = [
            {
                "id": row["id"],
                "fingerprint": row["fingerprint"],
                "linked_at": row["linked_at"],
                "last_seen": row["last_seen"],
                "online": row["id"] in self._hub.devices,
                "queued": self._hub.store.queued(row["id"]),
            }
            for row in self._hub.store.devices(self._account["number"])
        ]
        self._conn.send("devices", devices=listing)

    def _remove(self, frame: Frame) -> None:
        if (row := self._device(frame)) is None:
            self._conn.send("refused", what="remove", reason="no_device")
            return
        self._hub.store.remove(row["id"])
        identity = f"{row['id']}:{row['fingerprint']}"
        self._hub.log("device_removed", device=row["id"], identity=identity)
        if (peer := self._hub.devices.get(row["id"])) is not None:
            peer.end(REMOVED, "device removed")
        self._conn.send("removed", device=row["id"])


def _key_of(row: Row) -> Row:
    return {"id": row["key_id"], "pub": row["key_pub"], "sig": row["key_sig"]}
