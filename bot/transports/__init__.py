"""How the bot reaches a chat network. A transport moves messages and tells the bot how it stands.

The network's own rules (logins, keys, acknowledgements) stay inside a transport. Exactly-once is
shared work: the bot runs each message once and keeps its answer, the transport acknowledges a
message only after its answer is on its way, under an id that follows from the message's.
"""

from pathlib import Path
from typing import Protocol

from bot.session import Store


class InUseError(Exception):
    """Another process has the session. It says what to do."""


class SetupError(Exception):
    """The bot's environment asks for what can't be had. It says what to do."""


class Host(Protocol):
    """What a transport may ask of the bot."""

    folder: Path
    generation: int
    store: Store | None

    def state(self, state: str, identity: str = "", reason: str = "") -> None:
        """Say how the session stands: one of the contract's states."""

    def online(self, state: str, identity: str, *, proved: bool | None) -> None:
        """Say that the bot is online, newly `linked` or `restored`, and whether that is proved.

        None: nothing was tried yet.
        """

    def proved(self) -> None:
        """Say that a message made for this device since it went online was decrypted."""

    def undecryptable(self) -> None:
        """Count a message that could not be opened."""

    def qr(self, payload: str, ttl_s: float) -> None:
        """Show a QR code, or with an empty payload: no code is needed any more."""

    def code(self, code: str) -> None:
        """Show the code that is to be typed on the phone, instead of a QR code."""

    async def answer(self, message_id: str, text: str) -> str:
        """Return the answer. Called inside the transaction that writes the message down."""


class Transport(Protocol):
    """A chat network."""

    async def run(self) -> None:
        """Serve until `close`, or until the session is lost or another copy took it over."""

    async def send(self, message_id: str, text: str) -> None:
        """Send a message on our own account; return when the network has accepted it.

        The same id twice is one message.
        """

    async def close(self) -> bool:
        """Finish the message in hand, say goodbye, close the connection. Bounded.

        Return whether nothing of the session will be written any more by what it used.
        """
