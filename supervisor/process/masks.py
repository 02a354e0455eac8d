"""What must not be kept of a bot's output, and is blotted out: keys, tokens, passwords, QR codes.

A pattern can't know all secrets; it knows how they are usually printed. What is blotted out stays
readable as a line: the name of the secret remains. All patterns are linear: a hostile line of a
megabyte costs what a harmless one does.
"""

import re
from collections.abc import Sequence

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
    # Key material as Node prints it, and what WhatsApp's QR codes encode.
    (re.compile(rb"(?i)(key\w{0,20}[\"']?: ?)<Buffer [0-9a-f ]{8,}[^>]{0,40}>"), rb"\1" + MASKED),
    (re.compile(rb"\b2@[A-Za-z0-9+/=_-]{20,}(?:,[A-Za-z0-9+/=_-]{20,})+"), MASKED),
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

# A QR code as terminals show it: half blocks and full ones, or spaces on coloured grounds.
_BLOCKS = "█▀▄▌▐ \u00a0"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_GROUND = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:4[0-7]|10[0-7]|48;[0-9;]+|7)m")
_QR_CELLS = 21  # the smallest code is so wide
QR_CODE = "[QR code]"


class Masks:
    """Blots out, line by line, what one stream of a bot says. `more`: regular expressions.

    `key_lines`: so many lines may follow of a private key that has begun.
    """

    def __init__(self, more: Sequence[str] = ()) -> None:
        # As the config was checked: patterns of text, which know `\w` and `\u` of all letters.
        self._more = [re.compile(pattern) for pattern in more]
        self.key_lines = 0

    def blot(self, line: bytes) -> bytes:
        """Return a line without secrets. Lines come in their order: a key has many."""
        if self.key_lines:
            self.key_lines = 0 if _KEY_ENDS.search(line) else self.key_lines - 1
            return MASKED
        if b"PRIVATE KEY-----" in line and _KEY_BEGINS.search(line):
            self.key_lines = 0 if _KEY_ENDS.search(line) else _KEY_LINES
            return MASKED
        if self._more:
            text = line.decode("utf-8", "surrogateescape")
            for pattern in self._more:
                text = pattern.sub(MASKED.decode(), text)
            line = text.encode("utf-8", "surrogateescape")
        low = line.lower()
        if any(hint in low for hint in _HINTS) or _LIKE_A_TOKEN.search(line):
            for known, instead in _PATTERNS:
                line = known.sub(instead, line)
        return line


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


def drawn(text: str) -> bool:
    """Return whether a line is one of a drawn QR code."""
    bare = _ANSI.sub("", text).rstrip("\r\n")
    if len(bare) < _QR_CELLS or bare.strip(_BLOCKS):
        return False
    # A bar of progress has few blocks; on coloured grounds even the frame's line is spaces only.
    return sum(letter in "█▀▄▌▐" for letter in bare) >= _QR_CELLS // 3 or bool(_GROUND.search(text))
