"""What must not be kept of a bot's output, and is blotted out: keys, tokens, passwords, QR codes.

A pattern can't know all secrets; it knows how they are usually printed. What is blotted out stays
readable as a line: the name of the secret remains. All patterns are linear: a hostile line of a
megabyte costs what a harmless one does.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile
from typing import Any

MASKED = b"[masked]"
_NAMES = rb"(?:passw(?:or)?d|passphrase|passwd|secret|api[_-]?key|private[_-]?key|access[_-]?key)"
# Names of things that are secrets only if they look like one: `token: expired` is none.
_MAYBE = rb"(?:token|credential|session[_-]?key|auth[_-]?key|key)"
_SAID = rb"[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
_PATTERNS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (
        re.compile(rb"(?i)\b(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\r\n\"']{4,}"),
        rb"\1" + MASKED,
    ),
    (re.compile(rb"(?i)\b(bearer )[A-Za-z0-9._~+/=-]{8,}"), rb"\1" + MASKED),
    (re.compile(rb"(?i)(" + _NAMES + _SAID + rb")[^\s\"',;&}]{4,}"), rb"\1" + MASKED),
    (re.compile(rb"(?i)(" + _MAYBE + _SAID + rb")[A-Za-z0-9._~+/=:-]{16,}"), rb"\1" + MASKED),
    (re.compile(rb"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"), MASKED),
    # Telegram's bot tokens: https://core.telegram.org/bots/api#authorizing-your-bot
    (re.compile(rb"(?<!\d)\d{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"), MASKED),
    # What names itself: GitHub, Slack, OpenAI and its like, AWS.
    (re.compile(rb"\b(?:gh[opsru]_|github_pat_|xox[abprs]-|sk-|AKIA)[A-Za-z0-9_-]{16,}"), MASKED),
    (re.compile(rb"(?i)\b((?:set-)?cookie[\"']?: ?)[^\r\n]{4,}"), rb"\1" + MASKED),
    # Key material as Node prints it; `>?`: a line that is too long ends before.
    (re.compile(rb"(?i)(key\w{0,20}[\"']?: ?)<Buffer [0-9a-f ]{8,}[^>]{0,40}>?"), rb"\1" + MASKED),
    (re.compile(rb"(://[^/\s:@]{1,64}:)[^/\s@]{1,256}@"), rb"\1" + MASKED + b"@"),
)
# Without one of these no pattern fits; to look for them takes a tenth of the time.
_HINTS = (
    *(b"pass", b"secret", b"key", b"token", b"credential", b"bearer", b"authori"),
    *(b"eyj", b"://", b"ghp_", b"gho_", b"ghs_", b"ghr_", b"ghu_", b"github_pat", b"xox", b"sk-"),
    *(b"akia", b"cookie", b"2@"),
)
_LIKE_A_TOKEN = re.compile(rb"\d{8}:[A-Za-z0-9_-]{35}")
_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_LINES = 200  # more than any key has: what never ends is no key
# A key's own line, by its width and its letters: a flood may have taken the line that says so. A
# digest in hexadecimal, which may be as wide, is none.
_KEY_WIDTHS = (64, 70)
_KEY_LINE = re.compile(rb"(?![0-9a-fA-F]+$)[A-Za-z0-9+/]+={0,2}")

# What WhatsApp's QR codes encode, and a line of the rest where a bot wraps it.
_PAYLOAD = re.compile(rb"\b2@[A-Za-z0-9+/=,_-]{20,}")
# And Telegram's: https://core.telegram.org/api/qr-login
_CODES = re.compile(_PAYLOAD.pattern + rb"|\btg://login\?token=[A-Za-z0-9+/=_-]{16,}")
_GOES_ON = re.compile(rb"\s*[A-Za-z0-9+/=,_-]{20,}\s*")
# Any payload that the bot told us: so many bytes of it in a line are a piece of it.
_PIECE_BYTES = 16
_MAY_HOLD_PIECE = re.compile(rb"\S{%d}" % (2 * _PIECE_BYTES - 1))  # few lines do

# A QR code as terminals show it: blocks, or spaces on coloured grounds, or double signs. Of the
# usual blocks alone a line may be its frame.
_HALVES = "█▀▄▌▐"
_BLOCKS = _HALVES + "▖▗▘▙▚▛▜▝▞▟▓░⬛⬜"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_GROUND = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:4[0-7]|10[0-7]|48;[0-9;]+|7)m")
_ROW = re.compile(rf"(?:\x1b\[[0-9;]*m|[{_BLOCKS} \u00a0])+|(?:##|  )+")
_QR_CELLS = 21  # the smallest code is so wide
_QR_CHANGES = 6  # between dark and light; a bar of progress has one or two
_ROW_MAX = 1000  # signs: no code is wider
QR_CODE = "[QR code]"


class Masks:
    """Blots out, line by line, what one stream of a bot says. `more`: regular expressions.

    `key_lines`: so many lines may follow of a private key that has begun. `wrapped`: the last line
    ended within a QR code's payload.
    """

    def __init__(self, more: Sequence[str] = ()) -> None:
        self.go_by(more)
        self.key_lines = 0
        self.wrapped = False

    def carry(self) -> dict[str, Any]:
        """Return what is known of lines that are still to come."""
        return {"key_lines": self.key_lines, "wrapped": self.wrapped}

    def go_by(self, more: Sequence[str]) -> None:
        """Go by these expressions from now on."""
        # As the config was checked: patterns of text, which know `\w` and `\u` of all letters.
        self._more = [re.compile(pattern) for pattern in more]

    def blot(self, line: bytes) -> bytes:
        """Return a line without secrets. Lines come in their order: a key has many."""
        if self.key_lines:
            self.key_lines = 0 if _KEY_ENDS.search(line) else self.key_lines - 1
            return MASKED
        if _begins_key(line):
            self.key_lines = 0 if _KEY_ENDS.search(line) else _KEY_LINES
            return MASKED
        bare = line.strip()
        if len(bare) in _KEY_WIDTHS and _KEY_LINE.fullmatch(bare):
            return MASKED
        if self.wrapped and _GOES_ON.fullmatch(line):
            return MASKED
        self.wrapped = b"2@" in bare and any(
            match.end() == len(bare) for match in _PAYLOAD.finditer(bare)
        )
        return self._without_tokens(line)

    def glimpse(self, begun: bytes) -> bytes:
        """Return the beginning of a line without secrets; the line itself is still to come."""
        goes_on = self.key_lines or (self.wrapped and _GOES_ON.fullmatch(begun))
        return MASKED if goes_on or _begins_key(begun) else self._without_tokens(begun)

    def clean(self, text: str) -> str:
        """Return a text without secrets that is no line of the stream."""
        return self._without_tokens(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def _without_tokens(self, line: bytes) -> bytes:
        if self._more:
            text = line.decode("utf-8", "surrogateescape")
            for pattern in self._more:
                text = pattern.sub(MASKED.decode(), text)
            line = text.encode("utf-8", "surrogateescape")
        low = line.lower()
        if any(hint in low for hint in _HINTS) or _LIKE_A_TOKEN.search(line):
            for known, instead in _PATTERNS:
                line = known.sub(instead, line)
            line = _PAYLOAD.sub(MASKED, line)
        return line


def _begins_key(line: bytes) -> bool:
    return b"PRIVATE KEY-----" in line and _KEY_BEGINS.search(line) is not None


def without(payloads: Iterable[bytes], line: bytes) -> bytes:
    """Return a line without these QR codes' payloads, and without the pieces of a wrapped one.

    A shorter piece than twice `_PIECE_BYTES` may stay.
    """
    for payload in payloads:
        line = line.replace(payload, QR_CODE.encode())
    if _MAY_HOLD_PIECE.search(line):
        for payload in payloads:
            line = _without_pieces(payload, line)
    return line


def _without_pieces(payload: bytes, line: bytes) -> bytes:
    for at in range(0, len(payload) - _PIECE_BYTES + 1, _PIECE_BYTES):
        piece = payload[at : at + _PIECE_BYTES]
        if piece not in line:
            continue
        parts = line.split(piece)
        for n in range(1, len(parts)):
            parts[n - 1] = _unlike(parts[n - 1][::-1], payload[:at][::-1])[::-1]
            parts[n] = _unlike(parts[n], payload[at + _PIECE_BYTES :])
        line = QR_CODE.encode().join(parts)
    return line


def _unlike(text: bytes, other: bytes) -> bytes:
    """Return a text from where it is another one no longer."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(text, other, strict=False))
    return text[sum(1 for _ in alike) :]


class Codes:
    """Tells the lines of a drawn QR code from others, and what to keep in their place."""

    def __init__(self) -> None:
        self._drawing = False

    def keep(self, text: str) -> str | None:
        """Return what to keep of a line: itself, `[QR code]` for a code's first, None for more."""
        if not drawn(text):
            self._drawing = False
            return text
        first, self._drawing = not self._drawing, True
        return QR_CODE if first else None


def payload(line: bytes) -> str:
    """Return what a QR code must encode, where a line says it; "" for other lines."""
    if b"2@" not in line and b"tg://" not in line:
        return ""
    match = _CODES.search(line)
    return "" if match is None else match[0].decode()


def drawn(text: str) -> bool:
    """Return whether a line is one of a drawn QR code, or holds one, whatever is said before it."""
    if text.isascii() and "\x1b" not in text and "##" not in text:
        return False  # the quick way, for almost every line
    bare = _ANSI.sub("", text).strip("\r\n")
    if len(bare) >= _QR_CELLS and not bare.strip(_HALVES + " \u00a0"):
        # Even its frame, which has one colour: coloured grounds, or so many full blocks.
        blocks = sum(letter in _HALVES for letter in bare[:_ROW_MAX])
        if blocks >= _QR_CELLS // 3 or _GROUND.search(text):
            return True
    return any(_changes(match[0]) >= _QR_CHANGES for match in _ROW.finditer(text))


def row(text: str) -> str:
    """Return of a drawn line what draws: nothing else of it may reach another terminal."""
    return "".join(match[0] for match in _ROW.finditer(text[: 40 * _ROW_MAX]))


def _changes(row: str) -> int:
    """Return how often a row goes from dark to light or back; 0 for what is no row."""
    cells = _ANSI.sub("", row)[:_ROW_MAX]
    if len(cells) < _QR_CELLS:
        return 0
    grounds = len(_GROUND.findall(row))
    return grounds + sum(one != other for one, other in pairwise(cells))
