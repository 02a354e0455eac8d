"""The kinds of values a configuration may hold: what each needs, and how it is read.

A reader gets the TOML value and the file's folder, and raises `Wrong` for what it can't take.
"""

import fnmatch
import json
import math
import os
import pwd
import re
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from supervisor.config.model import ReadyCheck

LONGEST_SHOWN = 60


class Wrong(ValueError):  # noqa: N818 - read as a verdict: `raise Wrong(value)`
    """`found` is the value (or the part of it) that can't be taken, `why` what is known of it."""

    def __init__(self, found: object, why: str = "") -> None:
        super().__init__(why)
        self.found = found
        self.why = why


@dataclass(frozen=True, slots=True)
class Kind:
    """`needs` completes the sentence 'found X, needs ...'."""

    needs: str
    read: Callable[[object, Path], object]


def shown(value: object) -> str:
    """Return a value as a person wrote it, with its type: `"ten" (a string)`."""
    match value:
        case bool():
            return f"{str(value).lower()} (a boolean)"
        case str():
            text, kind = json.dumps(value, ensure_ascii=False), "a string"
        case int():
            text, kind = str(value), "a whole number"
        case float():
            text, kind = str(value), "a number"
        case list():
            text, kind = json.dumps(value, ensure_ascii=False, default=str), "a list"
        case dict():
            text, kind = "{...}" if value else "{}", "a table"
        case _:
            text, kind = str(value), "a date or time"
    if len(text) > LONGEST_SHOWN:
        text = text[: LONGEST_SHOWN - 3] + "..."
    return f"{text} ({kind})"


def _text(value: object, _root: Path) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Wrong(value)
    return value


def _path(value: object, root: Path) -> Path:
    try:
        given = Path(_text(value, root)).expanduser()
    except RuntimeError as error:
        raise Wrong(value, "there is no such user") from error
    return Path(os.path.normpath(root / given))


def _maybe_path(value: object, root: Path) -> Path | None:
    return None if value == "" else _path(value, root)


def _paths(value: object, root: Path) -> tuple[Path, ...]:
    return tuple(_path(item, root) for item in _items(value))


def _texts(value: object, root: Path) -> tuple[str, ...]:
    return tuple(_text(item, root) for item in _items(value))


def _names(value: object, root: Path) -> tuple[str, ...]:
    names = _texts(value, root)
    for name in names:
        if "/" in name or name in (".", ".."):
            raise Wrong(name)
        _compile(fnmatch.translate(name))
    return names


def _command(value: object, root: Path) -> tuple[str, ...]:
    words = _items(value)
    if not words:
        raise Wrong(value)
    for word in words:
        if not isinstance(word, str) or "\0" in word:
            raise Wrong(word)
    return (_text(words[0], root), *(str(word) for word in words[1:]))


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Wrong(value)
    return value


def _boolean(value: object, _root: Path) -> bool:
    if not isinstance(value, bool):
        raise Wrong(value)
    return value


def _served(value: object, root: Path) -> str | bool:
    return "auto" if value == "auto" else _boolean(value, root)


def _number(value: object) -> float:
    # TOML has inf and nan, and Python's booleans are integers: neither is a length of time.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Wrong(value)
    return float(value)


def _seconds(value: object, _root: Path) -> float:
    number = _number(value)
    if number <= 0:
        raise Wrong(value)
    return number


def whole(least: int, most: int | None = None, what: str = "a whole number") -> Kind:
    """Return the kind of a whole number from `least` to `most`."""

    def read(value: object, _root: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(value)
        if value < least or (most is not None and value > most):
            raise Wrong(value)
        return value

    return Kind(f"{what} of at least {least}" + (f" and at most {most}" if most else ""), read)


def one_of(*words: str) -> Kind:
    """Return the kind of a string that is one of `words`."""

    def read(value: object, _root: Path) -> str:
        if not isinstance(value, str) or value not in words:
            raise Wrong(value)
        return value

    return Kind("one of " + ", ".join(f'"{word}"' for word in words), read)


def _session(value: object, _root: Path) -> str | None:
    if value is False:
        return None
    # It becomes part of a folder's name: nothing that leaves the folder, nothing hidden.
    safe = re.compile(r"[A-Za-z0-9+_][A-Za-z0-9_.@+-]{0,99}")
    if not isinstance(value, str) or not safe.fullmatch(value):
        raise Wrong(value)
    return value


# Signals that stop or wake a process, or that nobody dies of, can't end a bot.
NEVER_ENDS = {"SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGCHLD", "SIGURG"}


def _signal(value: object, _root: Path) -> signal.Signals:
    name = value if isinstance(value, str) else ""
    name = name if name.startswith("SIG") else f"SIG{name}"
    # SIGKILL can't be heard: nothing would be flushed, ever.
    if name in NEVER_ENDS | {"SIGWINCH", "SIGKILL"} or name not in signal.Signals.__members__:
        raise Wrong(value)
    return signal.Signals[name]


def _env(value: object, _root: Path) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Wrong(value)
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise Wrong(name)
        if not isinstance(text, str) or "\0" in text:
            raise Wrong(text, f"for {name}")
    return dict(value)


def _credentials(value: object, root: Path) -> dict[str, Path]:
    if not isinstance(value, dict):
        raise Wrong(value)
    for name in value:
        # A file's name, and a word of the unit.
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
            raise Wrong(name)
    return {name: _path(path, root) for name, path in value.items()}


def _backoff(value: object, root: Path) -> tuple[float, float]:
    match value:
        case [first, longest]:
            least, most = _seconds(first, root), _seconds(longest, root)
            if least <= most:
                return least, most
    raise Wrong(value)


def _intensity(value: object, root: Path) -> tuple[int, float]:
    match value:
        case [int(crashes), period] if not isinstance(crashes, bool) and crashes >= 1:
            return crashes, _seconds(period, root)
    raise Wrong(value)


def _ready(value: object, root: Path) -> ReadyCheck:  # noqa: PLR0911 - a table
    if value == "notify":
        return ReadyCheck(kind="notify")
    match value:
        case {"alive_s": seconds, **rest} if not rest:
            return ReadyCheck(kind="alive", value=_seconds(seconds, root))
        case {"log": str(regex), **rest} if regex and not rest:
            _compile(regex)
            return ReadyCheck(kind="log", value=regex)
        case {"http": str(url), **rest} if not rest:
            return ReadyCheck(kind="http", value=_url(url))
        case {"tcp": str(address), **rest} if not rest:
            return ReadyCheck(kind="tcp", value=_address(address))
        case {"file": path, **rest} if not rest:
            return ReadyCheck(kind="file", value=str(_path(path, root)))
        case {"command": words, **rest} if not rest:
            return ReadyCheck(kind="command", value=_command(words, root))
        case dict():
            raise Wrong(value, f"keys: {', '.join(value) or 'none'}")
    raise Wrong(value)


def _alive(value: object, root: Path) -> ReadyCheck:
    check = _ready(value, root)
    if check.kind not in ("http", "tcp", "command"):
        raise Wrong(value)
    return check


def _maybe_command(value: object, root: Path) -> tuple[str, ...]:
    return () if value == [] else _command(value, root)


def _secret_url(value: object, _root: Path) -> str:
    """Return a URL that may hold a token: however wrong it is, it is not shown."""
    try:
        return "" if value == "" else _url(str(value))
    except Wrong as wrong:
        raise Wrong("...", wrong.why) from None


def _listen(value: object, root: Path) -> str:
    if not isinstance(value, str):
        raise Wrong(value)
    if value.startswith("unix:"):
        return f"unix:{_path(value.removeprefix('unix:'), root)}"
    return value and _address(value)


def _regexes(value: object, root: Path) -> tuple[str, ...]:
    texts = _texts(value, root)
    for text in texts:
        _compile(text)
    return texts


def _compiled(value: object, root: Path) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text) for text in _regexes(value, root))


def _template(value: object, root: Path) -> str:
    text = _text(value, root)
    if text.count("{}") != 1:
        raise Wrong(value)
    return text


def _compile(regex: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of what another Python may read in it
            re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise Wrong(regex, f"not a regular expression: {error}") from error


def _statuses(value: object, _root: Path) -> tuple[int, ...]:
    statuses = _items(value)
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 255:  # noqa: PLR2004 - a byte, exit(3)
            raise Wrong(status)
    return tuple(int(str(status)) for status in statuses)


def _maybe_user(value: object, _root: Path) -> str:
    if not isinstance(value, str):
        raise Wrong(value)
    if value:
        try:
            pwd.getpwnam(value)
        except (KeyError, ValueError) as error:
            raise Wrong(value, "there is no such user") from error
    return value


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return url
    except ValueError:
        pass  # a port that is no number, a bracket that is not closed: said below
    raise Wrong(url, "not an http:// or https:// URL")


def _address(address: str) -> str:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^:\s\[\]]+):([0-9]{1,5})", address)
    if not found or not 0 < int(found[2]) <= 65535:  # noqa: PLR2004 - the last TCP port
        raise Wrong(address, "not HOST:PORT")
    return address


TEXT = Kind("a string that is not empty", _text)
PATH = Kind("a path", _path)
MAYBE_PATH = Kind('a path, or "" for none', _maybe_path)
PATHS = Kind('a list of paths, such as ["bot"]', _paths)
PATTERNS = Kind('a list of file patterns, such as ["*.log"]', _texts)
NAMES = Kind('a list of names or patterns, without a slash, such as ["*.session"]', _names)
COMMAND = Kind('a list of words, such as ["python", "-m", "bot"]', _command)
BOOLEAN = Kind("true or false", _boolean)
SERVED = Kind('"auto", true or false', _served)
SECONDS = Kind("a number of seconds above 0", _seconds)
SESSION = Kind("an id in quotes (letters, digits and . _ @ + -), or false for none", _session)
SIGNAL = Kind('the name of a signal that ends the bot, such as "SIGTERM"', _signal)
ENV = Kind('a table of strings, such as { LOG_LEVEL = "info" }', _env)
CREDENTIALS = Kind('a table of paths by name, such as { token = "/etc/bots/token" }', _credentials)
BACKOFF = Kind("two numbers of seconds above 0, the shortest and the longest wait", _backoff)
INTENSITY = Kind("[crashes, seconds]: a whole number of at least 1, a number above 0", _intensity)
READY = Kind(
    '"notify" or a table with one of: log = "REGEX", http = "URL", tcp = "HOST:PORT", '
    'file = "PATH", command = ["PROGRAM", ...], alive_s = SECONDS',
    _ready,
)
ALIVE = Kind(
    'a table with one of: http = "URL", tcp = "HOST:PORT", command = ["PROGRAM", ...]', _alive
)
MAYBE_COMMAND = Kind('a list of words, such as ["./tell-me"], or [] for none', _maybe_command)
SECRET_URL = Kind('an http:// or https:// URL, or "" for none', _secret_url)
LISTEN = Kind('"HOST:PORT" or "unix:PATH", or "" for nowhere', _listen)
REGEXES = Kind("a list of regular expressions", _regexes)
COMPILED = Kind("a list of regular expressions", _compiled)
TEMPLATE = Kind('a string with {} in it, such as "{}.session"', _template)
STATUSES = Kind("a list of exit statuses, 0 to 255", _statuses)
MAYBE_USER = Kind(
    'the name of a user of this machine, or "" for the supervisor\'s own', _maybe_user
)
