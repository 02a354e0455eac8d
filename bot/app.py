"""The bot between its transport and its supervisor: commands, reminders, what is said of it all.

It owns the session's store while it runs. It prints a few calm lines, and never a secret.
"""

import asyncio
import contextlib
import gc
import json
import os
import time
import traceback
from pathlib import Path

from bot import commands
from bot.keys import BoxKey, Identity, derived_id, seal
from bot.link import Link
from bot.session import Store
from bot.transports import Transport

_NAP_S = 30.0  # the wall clock may be set meanwhile: look again


def say(line: str) -> None:
    """Print a line for the person who watches; nobody may be watching any more."""
    with contextlib.suppress(OSError):
        print(line, flush=True)  # noqa: T201 (the bot's console)


class Trace:
    """The bot's own timestamps, in STILLHERE_BOT_TRACE: which generation was online when."""

    def __init__(self, generation: int) -> None:
        self._path = os.environ.get("STILLHERE_BOT_TRACE", "")
        self._generation = generation

    def __call__(self, event: str) -> None:
        """Write one event, with the machine's monotonic clock, if anyone wants it."""
        if self._path:
            line = {
                "mono": round(time.monotonic(), 6),
                "event": event,
                "pid": os.getpid(),
                "generation": self._generation,
            }
            with open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123 (a plain append)
                file.write(json.dumps(line) + "\n")


def warm() -> None:
    """Do the slow first times of what a login needs, while another bot is still online."""
    key = BoxKey()
    key.open(seal(key.public, b"", b""), b"")
    Identity().sign(b"")
    gc.collect()
    gc.freeze()


class App:
    """What the transport talks to."""

    def __init__(self, link: Link) -> None:
        self.folder = Path()
        self.generation = link.generation
        self.store: Store | None = None
        self.scan_hint = ""  # how a QR code is scanned, where that is not obvious
        self.trace = Trace(link.generation)
        self._link = link
        self._commands = commands.load()
        self._started = time.monotonic()
        self._deaf = 0
        self._identity = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._reminders_changed = asyncio.Event()
        self._transport: Transport | None = None
        #: Gets the exception of a task of ours that broke: a bot that forgets to remind must end.
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, folder: Path, transport: Transport) -> None:
        """Take the session."""
        self.folder = folder
        self._transport = transport
        self._started = time.monotonic()
        self.trace("activated")

    async def close(self) -> bool:
        """Stop the reminders, close the transport and then the session.

        Return whether all is closed: nothing of the session will be written any more.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closed = self._transport is None or await self._transport.close()
        if self.store is not None:
            self.store.close()
        return closed

    async def checkpoint(self) -> None:
        """Write all to the session's files and say so."""
        if self._transport is None:
            return  # the session is not ours yet
        if self.store is not None:
            await self.store.checkpoint()
        self._link.checkpointed()

    # --- what the transport calls ---

    def state(self, state: str, identity: str = "", reason: str = "") -> None:
        """Say how the session stands."""
        self._link.session(state, identity, reason)
        match state:
            case "pairing":
                say("not linked yet: scan the QR code with your phone")
            case "offline" | "lost" | "conflict":
                say(f"{state}: {reason}")
            case _ if reason:
                say(f"{state}: {reason}")

    def online(self, state: str, identity: str, *, proved: bool | None) -> None:
        """Say that the bot is online."""
        self.trace("online")
        proof = "roundtrip" if proved else ""
        status = f"online as {identity}"
        self._link.ready(state, identity, proof, status, deaf=self._deaf)
        device, _, name = identity.rpartition(":")
        if state == "linked":
            say(f"linked as device {device} (fingerprint {name})")
        elif proved is False:
            say(f"online as device {device}, but deaf: this session is older than its keys")
        else:
            say(f"online as device {device} (fingerprint {name})")
        if not self._tasks:  # the first time only: what follows is not in anyone's way now
            for work in (self._count(), self._remind()):
                task = asyncio.create_task(work)
                task.add_done_callback(self._ended)
                self._tasks.append(task)

    def proved(self) -> None:
        """Say that a message made for this device was decrypted."""
        self._link.proof("roundtrip")

    def undecryptable(self) -> None:
        """Count a message that could not be opened."""
        self._deaf += 1
        self._link.undecryptable(self._deaf)
        say(f"{self._deaf} message(s) could not be decrypted")

    def code(self, code: str) -> None:
        """Show the code to type on the phone."""
        say(f"type this code on the phone, under Linked devices, with the phone number: {code}")

    def qr(self, payload: str, ttl_s: float) -> None:
        """Show a QR code: the supervisor does, or we do."""
        if self._link.present:
            if payload:
                self._link.qr(payload, ttl_s)
        elif payload:
            import segno  # noqa: PLC0415 (30 ms that only a bot run by hand needs)

            segno.make(payload, error="l").terminal(compact=True)
            say(f"scan it within {ttl_s:g} s{self.scan_hint}")

    async def answer(self, message_id: str, text: str) -> str:
        """Return the answer to a message. Called inside the transaction that writes it down."""
        words = text.strip()
        name, _, args = words.removeprefix("!").partition(" ")
        command = self._commands.get(name.lower()) if words.startswith("!") else None
        if command is None or self.store is None:
            return "Try !help"
        ctx = commands.Context(
            store=self.store,
            message_id=message_id,
            generation=self.generation,
            uptime_s=time.monotonic() - self._started,
            commands=self._commands,
        )
        try:
            with self.store.attempt():
                answer = await command.run(ctx, args.strip())
        except Exception as problem:  # noqa: BLE001 (a broken command must not stop the others)
            traceback.print_exc()
            return f"!{command.name} failed: {type(problem).__name__}"
        self._reminders_changed.set()
        return answer[:4000]

    # --- reminders, counts ---

    def _ended(self, task: asyncio.Task[None]) -> None:
        problem = None if task.cancelled() else task.exception()
        if problem is not None and not self.broken.done():
            self.broken.set_exception(problem)

    async def _count(self) -> None:
        if self.store is not None:
            await self.store.count_start()

    async def _remind(self) -> None:
        """Send what is due. The id follows from the reminder's: the server drops a second one."""
        store, transport = self.store, self._transport
        while store is not None and transport is not None:
            self._reminders_changed.clear()
            async with store.transaction():  # not in the middle of a message's
                waiting = store.reminders()
            due = [one for one in waiting if one.due <= time.time()]
            for one in due:
                await transport.send(derived_id("reminder", one.id), f"Reminder: {one.text}")
                await store.fired(one)
            if due:
                continue
            nap_s = min(_NAP_S, waiting[0].due - time.time()) if waiting else _NAP_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, nap_s)):
                    await self._reminders_changed.wait()
