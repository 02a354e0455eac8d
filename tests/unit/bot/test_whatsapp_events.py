"""WhatsApp's events in the contract's words, driven by the library's own types."""

from typing import Any

import pytest

from tests.whatsapp import LACKING

if LACKING:
    pytest.skip(LACKING, allow_module_level=True)

from neonize.events import EVENT_TO_INT
from neonize.proto import Neonize_pb2 as wa

from bot.transports.whatsapp_events import (
    Incoming,
    News,
    Then,
    address,
    deaf,
    device,
    incoming,
    news,
    read_elsewhere,
)

REASON = wa.ConnectFailureReason
BAN = wa.TemporaryBan.TempBanReason
NODE = wa.Node(Tag="failure")


def jid(user: str, server: str = "s.whatsapp.net", number: int = 0) -> Any:
    """Return an address as the library gives it."""
    return wa.JID(User=user, RawAgent=0, Device=number, Integrator=0, Server=server)


def info(*, mine: bool = False, group: bool = False, at_ms: int = 1000) -> Any:
    """Return what the library says of a message."""
    source = wa.MessageSource(
        Chat=jid("49151"),
        Sender=jid("49151", number=3),
        IsFromMe=mine,
        IsGroup=group,
        SenderAlt=jid("777", "lid"),
        RecipientAlt=jid(""),
        BroadcastListOwner=jid(""),
    )
    return wa.MessageInfo(
        MessageSource=source,
        ID="ABC",
        ServerID=0,
        Type="text",
        Pushname="",
        Timestamp=at_ms,
        Category="",
        Multicast=False,
        MediaType="",
        Edit="",
    )


def message(**fields: Any) -> Any:
    """Return a message as it comes."""
    no = dict.fromkeys(
        (
            "IsEphemeral",
            "IsViewOnce",
            "IsViewOnceV2",
            "IsViewOnceV2Extension",
            "IsDocumentWithCaption",
            "IsLottieSticker",
            "IsEdit",
        ),
        False,
    )
    text = fields.pop("text", "!ping")
    made = wa.Message(**{**no, "UnavailableRequestID": "", "RetryCount": 0, **fields})
    if text:
        made.Message.conversation = text
    return made


MEANINGS = [
    (wa.Connected(status=True), News(Then.ONLINE)),
    (wa.KeepAliveRestored(), News(Then.ONLINE)),
    (wa.Disconnected(status=True), News(Then.WAIT, "connecting", "the connection was lost")),
    (
        wa.KeepAliveTimeout(ErrorCount=1, LastSuccess=0),
        News(Then.WAIT, "connecting", "WhatsApp does not answer"),
    ),
    (
        wa.StreamError(Code="516\n", Raw=NODE),
        News(Then.WAIT, "connecting", "stream error 516"),
    ),
    (wa.StreamReplaced(), News(Then.END, "conflict", "440 replaced")),
    (
        wa.ClientOutdated(),
        News(Then.RETRY, "offline", "405 this version of the library is too old", 600),
    ),
    (
        wa.PairStatus(ID=jid("1"), BusinessName="", Platform="", Status=wa.PairStatus.SUCCESS),
        News(Then.PAIRED),
    ),
    (
        wa.TemporaryBan(Code=BAN.BLOCKED_BY_USERS, Expire=3661),
        News(
            Then.RETRY,
            "offline",
            "402 temporarily banned: blocked by too many people; ends in 1 h 2 min",
            3661,
        ),
    ),
    (
        wa.TemporaryBan(Code=BAN.BROADCAST_LIST, Expire=0),
        News(
            Then.RETRY,
            "offline",
            "402 temporarily banned: too many messages to a broadcast list; no end was said",
            3600,
        ),
    ),
    (
        wa.ConnectFailure(Reason=REASON.SERVICE_UNAVAILABLE, Message="try\nlater", Raw=NODE),
        News(Then.RETRY, "offline", "503 service unavailable (trylater)"),
    ),
    (
        wa.ConnectFailure(Reason=REASON.LOGGED_OUT, Message="", Raw=NODE),
        News(Then.END, "lost", "401 logged out"),
    ),
]


@pytest.mark.parametrize(("event", "meaning"), MEANINGS, ids=lambda one: type(one).__name__)
def test_an_event_means(event: Any, meaning: News) -> None:
    """Each event becomes one state of the contract, also after it went through the library's C."""
    assert news(type(event).FromString(event.SerializeToString())) == meaning


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("LOGGED_OUT", "401 logged out"),
        ("MAIN_DEVICE_GONE", "403 logged out: the phone's account is gone or locked"),
        ("UNKNOWN_LOGOUT", "406 logged out: the account is banned or unknown"),
    ],
)
def test_a_logout_is_lost_and_says_so(reason: str, said: str) -> None:
    """In words that the supervisor takes for an explicit logout: nothing is ever restored."""
    event = wa.LoggedOut(OnConnect=True, Reason=REASON.Value(reason))
    assert news(event) == News(Then.END, "lost", said)
    assert "logged out" in said


def test_only_a_logout_is_lost() -> None:
    """Every reason that the library knows has its words; a ban or a refusal restores nothing."""
    for name, number in REASON.items():
        found = news(wa.ConnectFailure(Reason=number, Message="", Raw=NODE))
        assert found is not None
        assert found.reason
        assert (found.state == "lost") == ("logged out" in found.reason), name
    for number in BAN.values():
        found = news(wa.TemporaryBan(Code=number, Expire=60))
        assert found is not None
        assert found.state == "offline"


def test_what_does_not_concern_the_session_means_nothing() -> None:
    """Of all events of the library only these are news."""
    ours = {type(event) for event, _ in MEANINGS} | {wa.LoggedOut}
    others = set(EVENT_TO_INT) - ours
    assert len(ours) + len(others) == len(EVENT_TO_INT)
    assert all(news(kind()) is None for kind in others)


def test_a_failed_link_repeats_no_word_of_its_error() -> None:
    """It comes from the cryptography of the link."""
    event = wa.PairStatus(
        ID=jid("1"), BusinessName="", Platform="", Status=wa.PairStatus.ERROR, Error="key abc"
    )
    found = news(event)
    assert found is not None
    assert (found.then, found.state) == (Then.RETRY, "pairing")
    assert "abc" not in found.reason


def test_a_text_comes_with_who_wrote_it() -> None:
    """Both names of the sender, the chat without the device, seconds."""
    assert incoming(message(Info=info(at_ms=1500))) == Incoming(
        id="ABC",
        chat="49151@s.whatsapp.net",
        sender="49151@s.whatsapp.net",
        users=frozenset({"49151", "777"}),
        mine=False,
        group=False,
        text="!ping",
        at=1.5,
    )


def test_what_is_no_new_text_is_not_taken() -> None:
    """An edit, a picture, a receipt."""
    assert incoming(message(Info=info(), text="")) is None
    edit = message(Info=info())
    edit.IsEdit = True
    assert incoming(edit) is None
    assert incoming(wa.Connected(status=True)) is None


def test_a_longer_text_is_a_text_too() -> None:
    """One with a link or a mention comes in another field."""
    longer = message(Info=info(), text="")
    longer.Message.extendedTextMessage.text = "!note https://example.org"
    found = incoming(longer)
    assert found is not None
    assert found.text == "!note https://example.org"


@pytest.mark.parametrize("withheld", [False, True])
def test_a_message_that_was_withheld_was_not_undecryptable(*, withheld: bool) -> None:
    """`view once` never reaches a companion device: that says nothing of its keys."""
    event = wa.UndecryptableMessage(
        Info=info(),
        IsUnavailable=withheld,
        DecryptFailMode=wa.UndecryptableMessage.DECRYPT_FAIL_SHOW,
    )
    assert deaf(event) is not withheld


def test_only_another_device_of_ours_that_could_read_proves_it() -> None:
    """A stranger's receipt, or one that asks for the message again, proves nothing."""
    kinds = dict(wa.Receipt.ReceiptType.items())
    read = {
        name: read_elsewhere(
            wa.Receipt(MessageSource=info().MessageSource, MessageIDs=["X"], Timestamp=0, Type=kind)
        )
        for name, kind in kinds.items()
    }
    assert read.pop("SENDER") == {"X"}
    assert set(read.values()) == {frozenset()}


def test_an_address_is_written_as_the_library_does() -> None:
    """The device's id is looked up in the library's own table."""
    assert device(jid("49151", number=7)) == "49151:7@s.whatsapp.net"
    assert device(jid("49151")) == "49151@s.whatsapp.net"
    assert address(jid("49151", number=7)) == "49151@s.whatsapp.net"
