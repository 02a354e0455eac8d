"""What is blotted out of a bot's output, and what is left alone."""

import base64
import hashlib
import io
import re
import time

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from supervisor.process.masks import MASKED, QR_CODE, Codes, Masks, drawn, without

PAYLOAD = b"2@" + b",".join(
    base64.b64encode(hashlib.sha512(x).digest()) for x in (b"a", b"b", b"c")
)
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


def test_a_line_of_a_key_alone_is_blotted_out() -> None:
    """A flood leaves lines out, the one that says that a key follows among them."""
    line = b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
    assert Masks().blot(line) == Masks().blot(b"  " + line + b"\r") == MASKED
    assert Masks().blot(line + b"abcdef") == MASKED
    digest = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert Masks().blot(digest) == digest


def test_a_line_that_is_begun_shows_no_secret() -> None:
    """It is shown before it is whole; then it comes again, and only then does it count."""
    masks = Masks()
    assert masks.glimpse(f"password={SECRET}".encode()) == b"password=" + MASKED
    assert masks.glimpse(b"name: ") == b"name: "
    assert masks.glimpse(b"-----BEGIN PRIVATE KEY-----") == MASKED
    assert masks.blot(b"a line") == b"a line"
    masks.blot(b"-----BEGIN PRIVATE KEY-----")
    assert masks.glimpse(b"x") == MASKED
    assert masks.key_lines == 200
    wrapped = Masks()
    wrapped.blot(PAYLOAD[:60])
    assert wrapped.glimpse(PAYLOAD[60:90]) == MASKED


@pytest.mark.parametrize("width", [31, 40, 60, 80, 1000])
def test_a_wrapped_payload_is_blotted_out_piece_by_piece(width: int) -> None:
    """As a terminal's width, or a library, has split it; what stands around it stays."""
    payload = b"sgnl://linkdevice?uuid=" + PAYLOAD
    lines = [b"| " + payload[at : at + width] + b" |" for at in range(0, len(payload), width)]
    found = [without([payload], line) for line in lines]
    assert all(line.startswith(b"| ") and line.endswith(b" |") for line in found)
    assert all(line == b"| " + QR_CODE.encode() + b" |" for line in found[:-1])
    assert len(found[-1]) < 2 * 16 + 4
    assert without([payload], b"an ordinary line") == b"an ordinary line"
    assert without([b"short"], b"a short one") == b"a [QR code] one"


def test_a_line_full_of_pieces_costs_no_more_than_another() -> None:
    """Each piece is looked for once, and what is around it as far as a payload goes."""
    began = time.process_time()
    assert PAYLOAD[16:32] not in without([PAYLOAD], PAYLOAD[16:32] * 20_000)
    assert time.process_time() - began < 5.0  # a quadratic one takes minutes


@pytest.mark.parametrize("width", [22, 40, 80])
def test_a_payload_that_nobody_told_of_is_blotted_out_over_its_lines(width: int) -> None:
    """A bot without the contract wraps it; the next words are its own again."""
    masks = Masks()
    lines = [PAYLOAD[at : at + width] for at in range(0, len(PAYLOAD), width)]
    lines = [line for line in lines if len(line) >= 20]
    assert [masks.blot(line) for line in lines] == [MASKED] * len(lines)
    for line in (b"connected", PAYLOAD[40:80]):
        assert masks.blot(line) == line


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
    "before", ["INFO  ", "12:00:00 bot | ", '{"msg":"', "\x1b[32minfo\x1b[0m: "]
)
@pytest.mark.parametrize("compact", [True, False])
def test_a_code_that_is_logged_line_by_line_is_found(before: str, compact: bool) -> None:  # noqa: FBT001
    """A logger writes its own words before each row; of what is left nothing can be scanned."""
    out = io.StringIO()
    segno.make("2@" + SECRET * 6, error="l").terminal(out, compact=compact)
    rows = [row for row in out.getvalue().splitlines() if row.strip()]
    found = [row for row in rows if not drawn(before + row)]
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", row).strip() for row in found]
    assert len(found) <= 8  # the frame, above and below
    assert all(len(set(row)) <= 1 for row in bare)


@pytest.mark.parametrize("light", ["  ", "⬜", "░░", "▖"])
def test_a_code_in_other_signs_is_found(light: str) -> None:
    """Squares, shades, quarters, and the double signs of plain ASCII."""
    dark = {"  ": "##", "⬜": "⬛", "░░": "▓▓", "▖": "▜"}[light]
    matrix = segno.make("2@" + SECRET * 6, error="l").matrix
    assert all(drawn("".join(dark if bit else light for bit in row)) for row in matrix)


@pytest.mark.parametrize(
    "line",
    [
        "cpu ████████████████████████░░░░░░░░ 75 %",
        "\r██████████████████████████████████████▌          | 80/100",
        "██████░░░░░░░░░░░░░░░░░░░░░░░░",
        "############################",
        "## " * 20,
        "## a heading",
        "\x1b[44m name                           \x1b[0m \x1b[42m up \x1b[0m",
        "load ▁▂▃▄▅▆▇█▇▆▅▄▃▂▁▂▃▄▅▆▇█▇▆▅▄",
    ],
)
def test_bars_headings_and_tables_are_left_alone(line: str) -> None:
    """They have blocks and colours, but change seldom."""
    assert not drawn(line)


@pytest.mark.parametrize("piece", ["█", "█ ", "##  ", "\x1b[47m ", "é"])
def test_a_long_line_is_soon_judged(piece: str) -> None:
    """A quarter of a megabyte of what a code is made of, or is not."""
    began = time.process_time()
    drawn(piece * ((1 << 18) // len(piece)) + "x")
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize(
    "line", ["", " " * 80, "progress ████████░░░░ 60 %", "─" * 40, "=" * 40, "\x1b[42m OK \x1b[0m"]
)
def test_no_other_line_is_taken_for_a_code(line: str) -> None:
    """Bars, rules, empty lines and badges."""
    assert not drawn(line)
