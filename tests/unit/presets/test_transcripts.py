"""What bots print that were made from the libraries' own examples, and what each line means."""

import json
import re
from pathlib import Path

import pytest

from supervisor.presets.ear import Ear
from supervisor.presets.library import known

STATE = "X_STILLHERE_SESSION"
WHO = "X_STILLHERE_IDENTITY"
DEAF = "X_STILLHERE_UNDECRYPTABLE"
REASON = "X_STILLHERE_REASON"
FOLDER = Path(__file__).parent / "transcripts"


def transcript(name: str) -> list[tuple[str, str]]:
    """Return lines that bots of a library print, each with what it tells of; "-" for nothing."""
    text = (FOLDER / f"{name}.txt").read_text().replace("␛", "\x1b")
    return [
        (line, means) for means, _, line in (row.partition("|") for row in text.split("\n")[:-1])
    ]


TOLD = ("whatsapp-web.js", "baileys", "neonize", "telethon", "matrix-nio", "chromium")


@pytest.mark.parametrize("name", TOLD)
def test_each_line_means_what_the_library_means(name: str) -> None:
    """Line by line; a logout is an explicit one, and a loss is none."""
    ear = Ear(known()[name].output)
    for line, means in transcript(name):
        was = ear.paired
        said = ear.hear(line)
        told = said.get(STATE, "-")
        if "READY" in said:
            told = "ready"
        elif DEAF in said:
            told = "undecryptable"
        elif told == "lost" and said[REASON].startswith("401 logged out"):
            told = "logged out"
        elif not said and ear.paired and means == "linked":
            told = "linked"
        assert told == means, (line, said, was)


def test_how_often_a_message_could_not_be_read_is_counted() -> None:
    """Each such line is one more."""
    ear = Ear(known()["baileys"].output)
    line = next(line for line, means in transcript("baileys") if means == "undecryptable")
    assert [ear.hear(line)[DEAF] for _ in range(3)] == ["1", "2", "3"]


def test_what_whatsmeow_says_of_a_logout_is_the_reason() -> None:
    """As a person reads it then."""
    ear = Ear(known()["neonize"].output)
    lines = [line for line, means in transcript("neonize") if means == "logged out"]
    assert ear.hear(lines[-1])[REASON] == "401 logged out: 401: logged out from another device"


# A chat's own words, as bots print them: with who wrote it before, or alone.
SAID = [
    "Please enter your phone number to go on",
    "your pairing code: see below",
    "Device logged out, please",
    "Signed in successfully",
    "logged out",
    "I was logged out",
    "you are logged out",
    "Logged out",
    "LOGOUT",
    "logout",
    "disconnected",
    "device removed",
    "connection replaced",
    "conflict",
    "CONFLICT",
    "there is a conflict: 440",
    "440 replaced",
    "401",
    "401 unauthorized",
    "statusCode: 401,",
    "statusCode: 440,",
    "my session was lost, auth failure",
    "authentication failed",
    "scan the qr code",
    "QR RECEIVED",
    "what is my pairing code?",
    "pairing code: soon",
    "please enter your name",
    "M_UNKNOWN_TOKEN",
    "AuthKeyDuplicatedError",
    "the user has been deleted/deactivated",
    "SessionRevokedError",
    "Connection closed. You are logged out.",
    "Client was logged out LOGOUT",
    "opened connection",
    "Bad MAC",
    "ENOTFOUND",
    "failed to decrypt message",
    "Got replaced stream error, sending StreamReplaced event",
    '{"level":60,"msg":"Connection closed. You are logged out."}',
]
PRINTED = [
    "alice: {}",
    "[alice] {}",
    "<alice> {}",
    "Message from alice: {}",
    "MESSAGE RECEIVED {}",
    "2026-11-29 10:00:00 INFO alice wrote: {}",
    "  conversation: '{}',",
    "💬 alice: {}",
]
GRAVE = ("lost", "conflict", "pairing")


@pytest.mark.parametrize("name", known())
def test_a_chat_s_words_mean_nothing_grave(name: str) -> None:
    """Who writes to a bot can't log it out, stop it or have it restored, however it prints that."""
    ear = Ear(known()[name].output)
    for text in SAID:
        for how in PRINTED:
            said = ear.hear(how.format(text))
            assert said.get(STATE) not in GRAVE, (how.format(text), said)
    # Alone on a line, all but the library's own line to the letter.
    for text in SAID[:29]:
        assert ear.hear(text).get(STATE) not in GRAVE, text


def test_a_message_in_json_can_t_end_the_log_s_own_string() -> None:
    """As pino escapes it, a chat's text holds no bare quote."""
    ear = Ear(known()["baileys"].output)
    grave = [line for line, means in transcript("baileys") if means in ("logged out", "conflict")]
    for line in grave:
        if line.startswith("{"):
            text = json.dumps({"level": 50, "text": line, "msg": "handled"}, separators=(",", ":"))
            assert not ear.hear(text), text


def hostile() -> list[str]:
    """Return lines of 4,000 characters that begin as the patterns want it, and never end so."""
    begins = [
        *(line for name in TOLD for line, _ in transcript(name) if line),
        *SAID,
        *(
            " ",
            "\t",
            "-",
            "[",
            "a",
            "1",
            ".",
            "telethon.",
            "telethon.a - ",
            "[whatsmeow.Client INFO] - ",
        ),
        '{"level":50,{"tag":"conflict","attrs":{"type":"replaced"}',
        '{"level":50,{"tag":"stream:error","attrs":{"code":"401"}',
        *("dial tcp ", "WebSocket Error (", "Error decrypting message ", "please delete "),
        *("nio.", "nio.a - ERROR - ", "10:00:00 [", "Device Logged Out, Please Delete "),
    ]
    return [(begin * (4000 // len(begin) + 1))[:3999] + "~" for begin in begins]


@pytest.mark.parametrize("name", known())
def test_no_line_keeps_the_ear_busy(name: str) -> None:
    """All of a preset's patterns over hostile lines: a nested repetition would never come back."""
    ear = Ear(known()[name].output)
    for line in hostile():
        ear.hear(line)


def test_no_pattern_repeats_a_repetition() -> None:
    """`(a+)+` takes a time that doubles with each letter: no group that repeats is repeated."""
    repeated = re.compile(r"[*+}]\??\)[*+{]")
    for preset in known().values():
        for name in preset.output.__dataclass_fields__:
            for regex in getattr(preset.output, name):
                assert not repeated.search(regex.pattern), regex.pattern


def test_a_link_is_told_once_it_is_up() -> None:
    """Paired in this generation: linked; else restored, if it is known as whom."""
    ear = Ear(known()["baileys"].output)
    ear.hear("Please enter your phone number:")
    assert ear.up() == {"READY": "1", STATE: "linked"}
    assert ear.up("me") == {"READY": "1", STATE: "restored", WHO: "me"}
