"""What WhatsApp's library says, in the words of the contract. Pure: no I/O, no clock, no state.

The library (neonize) hands over protobuf messages. Each that matters becomes `News`: the session's
state, why, and what the connection is to do next. What does not matter is None.

Only a logout that the network said itself is `lost`. A ban, an old library, a server that refuses
or is away are `offline`: the session is not to blame, and nothing may ever be restored for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from neonize.proto import Neonize_pb2 as wa

_BAN_S = 3600.0  # a ban that names no end
_OUTDATED_S = 600.0  # only an upgrade of the library helps


class Then(Enum):
    """What the connection does with a piece of news."""

    ONLINE = auto()  # logged in, or heard again
    WAIT = auto()  # the library connects again by itself
    RETRY = auto()  # it does not: connect anew after a pause
    END = auto()  # this session is over, here
    PAIRED = auto()  # a phone has linked us; the login follows


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news. `pause_s`: seconds before the next try at least, with `RETRY`."""

    then: Then
    state: str = ""
    reason: str = ""
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A text that someone wrote. `chat` and `sender` are addresses: `user@server`.

    `at`: when it was sent, seconds since 1970 by WhatsApp's clock.
    """

    id: str
    chat: str
    sender: str
    users: frozenset[str]  # the sender's names: a phone number, a hidden one, or both
    mine: bool  # written by our own account, on another device
    group: bool
    text: str
    at: float


# The number that WhatsApp says; neonize has only names for it.
_CODES = {
    "GENERIC": (400, "refused"),
    "LOGGED_OUT": (401, "logged out"),
    "TEMP_BANNED": (402, "temporarily banned"),
    "MAIN_DEVICE_GONE": (403, "logged out: the phone's account is gone or locked"),
    "CLIENT_OUTDATED": (405, "this version of the library is too old"),
    "UNKNOWN_LOGOUT": (406, "logged out: the account is banned or unknown"),
    "BAD_USER_AGENT": (409, "this kind of client is refused"),
    "INTERNAL_SERVER_ERROR": (500, "internal server error"),
    "EXPERIMENTAL": (501, "refused"),
    "SERVICE_UNAVAILABLE": (503, "service unavailable"),
}
_BANS = {
    "SEND_TO_TOO_MANY_PEOPLE": "too many messages to strangers",
    "BLOCKED_BY_USERS": "blocked by too many people",
    "CREATED_TOO_MANY_GROUPS": "too many groups with strangers",
    "SENT_TOO_MANY_SAME_MESSAGE": "the same message to too many people",
    "BROADCAST_LIST": "too many messages to a broadcast list",
}


def news(event: Any) -> News | None:
    """Return what an event of the library means for the session; None: nothing."""
    means = _MEANINGS.get(type(event))
    return None if means is None else means(event)


def deaf(event: Any) -> bool:
    """Return whether a message came that could not be decrypted.

    One that the sender withheld from companion devices (`view once`) is none.
    """
    return isinstance(event, wa.UndecryptableMessage) and not event.IsUnavailable


def incoming(event: Any) -> Incoming | None:
    """Return the text that an event brings; None: it brings none."""
    if not isinstance(event, wa.Message) or event.IsEdit or not event.Info.ID:
        return None
    text = event.Message.conversation or event.Message.extendedTextMessage.text
    if not text:
        return None
    source = event.Info.MessageSource
    users = frozenset(jid.User for jid in (source.Sender, source.SenderAlt) if jid.User)
    return Incoming(
        id=event.Info.ID,
        chat=address(source.Chat),
        sender=address(source.Sender),
        users=users,
        mine=source.IsFromMe,
        group=source.IsGroup,
        text=text,
        at=event.Info.Timestamp / 1000,
    )


def read_elsewhere(event: Any) -> frozenset[str]:
    """Return the ids of those of our messages that another device of ours could read."""
    if isinstance(event, wa.Receipt) and event.Type == wa.Receipt.SENDER:
        return frozenset(event.MessageIDs)
    return frozenset()


def address(jid: Any) -> str:
    """Return a JID without its device: whom to write to."""
    return f"{jid.User}@{jid.Server}" if jid.User else str(jid.Server)


def device(jid: Any) -> str:
    """Return a JID with its device, as the library's database has it."""
    agent = f".{jid.RawAgent}" if jid.RawAgent else ""
    number = f":{jid.Device}" if jid.Device or agent else ""
    return f"{jid.User}{agent}{number}@{jid.Server}"


def _refused(event: Any) -> News:
    reason = _failure(event.Reason)
    more = _plain(event.Message, 80)
    if " logged out" in reason:
        return News(Then.END, "lost", reason)
    return News(Then.RETRY, "offline", f"{reason} ({more})" if more else reason)


def _paired(event: Any) -> News:
    if event.Status == wa.PairStatus.SUCCESS:
        return News(Then.PAIRED)
    # Its text comes from the link's cryptography: not a word of it is repeated.
    return News(Then.RETRY, "pairing", "the phone's answer could not be used: scan again")


def _ban(event: Any) -> News:
    why = _BANS.get(wa.TemporaryBan.TempBanReason.Name(event.Code), "reason unknown")
    end = f"ends in {_length(event.Expire)}" if event.Expire > 0 else "no end was said"
    pause_s = float(event.Expire) if event.Expire > 0 else _BAN_S
    return News(Then.RETRY, "offline", f"{_of('TEMP_BANNED')}: {why}; {end}", pause_s)


def _failure(reason: int) -> str:
    return _of(wa.ConnectFailureReason.Name(reason))


def _of(name: str) -> str:
    code, words = _CODES[name]
    return f"{code} {words}"


def _length(seconds: int) -> str:
    minutes = -(-seconds // 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _plain(text: str, most: int) -> str:
    """Return a stranger's text as one printable line of at most `most` characters."""
    return "".join(c for c in text if c.isprintable())[:most].strip()


_MEANINGS: dict[Any, Callable[[Any], News]] = {
    wa.Connected: lambda _: News(Then.ONLINE),
    wa.KeepAliveRestored: lambda _: News(Then.ONLINE),
    wa.Disconnected: lambda _: News(Then.WAIT, "connecting", "the connection was lost"),
    wa.KeepAliveTimeout: lambda _: News(Then.WAIT, "connecting", "WhatsApp does not answer"),
    wa.StreamError: lambda e: News(
        Then.WAIT, "connecting", f"stream error {_plain(e.Code, 20)}".strip()
    ),
    wa.LoggedOut: lambda e: News(Then.END, "lost", _failure(e.Reason)),
    wa.StreamReplaced: lambda _: News(Then.END, "conflict", "440 replaced"),
    wa.TemporaryBan: _ban,
    wa.ClientOutdated: lambda _: News(Then.RETRY, "offline", _of("CLIENT_OUTDATED"), _OUTDATED_S),
    wa.ConnectFailure: _refused,
    wa.PairStatus: _paired,
}
