"""What is blotted out of a bot's output, and what is left alone."""

import io
import time

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from supervisor.process.masks import MASKED, QR_CODE, Codes, Masks, drawn

SECRET = "a8f7Kq2ZpW0xYt9LmN3bVc6D"  # noqa: S105 - of nobody


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {SECRET}",
        f'headers: {{"authorization": "Basic {SECRET}"}}',
        f"using bearer {SECRET} now",
        f"token={SECRET}",
        f'"access_token": "{SECRET}"',
        f"TELEGRAM_TOKEN: '{SECRET}'",
        f"password={SECRET}",
        f"db_passwd : {SECRET}",
        f"api_key={SECRET}&x=1",
        f"API-KEY: {SECRET}",
        f"client_secret={SECRET}",
        f"connecting to postgres://me:{SECRET}@localhost/x",
        f"bot 123456789:{SECRET}abcdefghijk is up",
        f"clone with ghp_{SECRET}",
        f"xoxb-{SECRET}",
        f"sk-{SECRET} is no good",
        f"set-cookie: sid={SECRET}; Path=/",
        f"2@{SECRET},{SECRET},{SECRET}=",
        f"jwt eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(line: str) -> None:
    """And the line still says what was there."""
    found = Masks().blot(line.encode())
    assert SECRET.encode() not in found
    assert MASKED in found
    assert found[:4] in (line.encode()[:4], MASKED[:4])


@pytest.mark.parametrize(
    "line",
    [
        "token: expired",
        "the key is in the other file",
        "press any key: q to quit",
        "password: ***",
        "2026-11-29T08:00:00.000Z INFO ready in 0.2 s",
        "GET https://example.org/a/b?c=d 200",
        "file:///home/me/x.py:12: TypeError: no x",
        "1234567890:12",
        "monkey: banana",
        "the cookie jar is empty",
        "task sk-12 is done",
        "2@3 is no address",
        "Listening at 127.0.0.1:8080",
    ],
)
def test_ordinary_lines_are_left_alone(line: str) -> None:
    """A log that says [masked] everywhere helps nobody."""
    assert Masks().blot(line.encode()) == line.encode()


def test_a_private_key_is_blotted_out_whole() -> None:
    """All its lines, and not what follows it; one that never ends does not take the rest."""
    masks = Masks()
    lines = ["before", "-----BEGIN RSA PRIVATE KEY-----", "MIIabc", "-----END RSA PRIVATE KEY-----"]
    found = [masks.blot(line.encode()) for line in [*lines, "after"]]
    assert found == [b"before", MASKED, MASKED, MASKED, b"after"]
    masks.blot(b"-----BEGIN PRIVATE KEY-----")
    assert [masks.blot(b"x") for _ in range(201)][-1] == b"x"


def test_key_material_as_node_prints_it_is_blotted_out() -> None:
    """Sessions of Baileys look so, when they are printed in an error."""
    found = Masks().blot(b"  privKey: <Buffer 50 0c 9a 1b 2c 3d 4e 5f 60 ... 22 more bytes>, id: 7")
    assert found == b"  privKey: [masked], id: 7"


def test_the_configs_own_patterns_come_too() -> None:
    """Whatever a person calls a secret."""
    assert Masks([r"\+\d{6,}"]).blot(b"from +971505760056 to me") == b"from [masked] to me"
    names = Masks([r"\bJos\u00e9\w*"])
    assert names.blot("from José\u00e9 \U0001f600".encode() + b"\xff") == (
        b"from [masked] \xf0\x9f\x98\x80\xff"
    )


@pytest.mark.parametrize("piece", [b"key=", b"a" * 64, b"://a:", b"1234567:", b"eyJ", b"Bearer "])
def test_a_hostile_line_costs_no_more_than_another(piece: bytes) -> None:
    """A megabyte that makes a careless pattern go back again and again."""
    line = piece * ((1 << 20) // len(piece))
    began = time.process_time()
    Masks().blot(line)
    assert time.process_time() - began < 5.0  # a quadratic one takes hours


@given(st.binary(max_size=300))
def test_any_bytes_are_taken(line: bytes) -> None:
    """Output is what it is."""
    Masks().blot(line)


@pytest.mark.parametrize("compact", [True, False])
def test_a_drawn_code_becomes_three_words(compact: bool) -> None:  # noqa: FBT001 - a parameter
    """As libraries draw it in a terminal; what is printed around it stays."""
    out = io.StringIO()
    segno.make("2@" + SECRET * 6, error="l").terminal(out, compact=compact)
    lines = ["scan this:", *out.getvalue().splitlines(), "", "waiting"]
    codes = Codes()
    kept = [text for line in lines if (text := codes.keep(line)) is not None]
    assert [text for text in kept if text.strip()] == ["scan this:", QR_CODE, "waiting"]


@pytest.mark.parametrize(
    "line", ["", " " * 80, "progress ████████░░░░ 60 %", "─" * 40, "=" * 40, "\x1b[42m OK \x1b[0m"]
)
def test_no_other_line_is_taken_for_a_code(line: str) -> None:
    """Bars, rules, empty lines and badges."""
    assert not drawn(line)
