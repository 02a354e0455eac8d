"""Reads where a bot's source says that something lies: a string, or what is put together of some.

Python and JavaScript alike, as far as people write paths in them. Nothing is executed; what is not
understood has no value.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_DEPTH_MAX = 8  # names that stand for names, calls in calls
_ARGUMENTS_MAX = 12
_SPACE = re.compile(r"\s{0,400}")
_STRING = re.compile(r"""([rRfF]{0,2})(?:"([^"\\\n]*)"|'([^'\\\n]*)'|`([^`\\\n]*)`)""")
_NAME = re.compile(r"[A-Za-z_$][\w$]*(?:\s?\??\.[A-Za-z_$][\w$]*)*")
_OR = re.compile(r"\s{0,80}(?:\|\||\?\?|\bor\b)\s{0,80}")
_HERE = ("__dirname", "import.meta.dirname")
_FILE = ("__file__", "__filename", "import.meta.url", "import.meta.filename")
_JOINS = ("path.join", "path.resolve", "os.path.join", "join", "resolve")
_PATHS = ("Path", "pathlib.Path", "PurePath", "pathlib.PurePath")
_SAME = (
    *("str", "String", "os.fspath", "fileURLToPath", "url.fileURLToPath", "path.normalize"),
    *("os.path.abspath", "os.path.realpath", "os.path.normpath", "abspath", "realpath"),
)
_ABOVE = ("os.path.dirname", "path.dirname", "dirname")
_WORKING = ("process.cwd", "os.getcwd", "Path.cwd", "pathlib.Path.cwd")
_ENVIRONMENT = ("os.environ.get", "environ.get", "os.getenv", "getenv")
_OF_ENVIRONMENT = ("process.env.", "import.meta.env.")
_METHODS = ("resolve", "absolute", "expanduser", "as_posix", "toString")


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text; `folder`: where it lies, as seen from the bot's working folder."""

    text: str
    folder: str = "."
    others: "Sequence[Source]" = ()

    def value(self, at: int) -> str | None:
        """Return what the expression says that begins at `at`; None if that is not understood.

        A path is relative to the working folder, or absolute. Of a variable of the environment
        its default is taken.
        """
        return _Reader(self, at, 0).value()


def assigned(name: str, text: str) -> int | None:
    """Return where in a text the value begins that a name gets; None if it gets none."""
    found = re.search(
        rf"^[ \t]*(?:export +)?(?:const +|let +|var +)?(?:self\.|this\.)?{re.escape(name)}"
        rf"(?:[ \t]*:[^=\n]{{1,60}})?[ \t]*=(?!=)",
        text,
        re.MULTILINE,
    )
    return found.end() if found else None


class _Reader:
    """Reads on from `at`."""

    def __init__(self, source: Source, at: int, depth: int) -> None:
        self._source = source
        self._text = source.text
        self._at = at
        self._depth = depth

    def value(self) -> str | None:
        if self._depth > _DEPTH_MAX:
            return None
        found = self._term()
        while True:
            self._skip()
            # Of these only what is known of them: `base / name`, `base + "/name"`.
            if self._take("/"):
                found = _joined((found, self._term()))
            elif self._take("+"):
                more = self._term()
                found = None if found is None or more is None else found + more
            elif (other := _OR.match(self._text, self._at)) is not None:
                self._at = other.end()
                more = self._term()
                found = more if found is None else found
            else:
                return found

    def _term(self) -> str | None:
        self._skip()
        if (string := _STRING.match(self._text, self._at)) is not None:
            self._at = string.end()
            return self._filled(string)
        if (word := _NAME.match(self._text, self._at)) is None:
            return None
        self._at = word.end()
        name = re.sub(r"[\s?]", "", word[0])
        if self._take("("):
            return self._methods(self._call(name))
        base, *steps = name.split(".parent")
        return _above(self._named(base), len(steps))

    def _filled(self, string: re.Match[str]) -> str | None:
        """Return a string's text; of a template only if what it begins with is known."""
        text = next(part for part in string.groups()[1:] if part is not None)
        if string[4] is not None and (rest := text.removeprefix("${__dirname}")) != text:
            text = self._source.folder + rest
        is_template = string[4] is not None or "f" in string[1].lower()
        marks = "${" if string[4] is not None else "{"
        return None if is_template and marks in text else text

    def _call(self, name: str) -> str | None:
        given = list(self._arguments())
        first = given[0] if given else None
        head, _, method = name.rpartition(".")
        if name in _JOINS or name in _PATHS:
            found = _joined(given) if given else "."
        elif name in _WORKING:
            found = "."
        elif name in _SAME:
            found = first
        elif name in _ABOVE:
            found = _above(first, 1)
        elif name in _ENVIRONMENT and len(given) > 1:
            found = given[1]
        elif method in _METHODS and head:
            found = self._named(head)
        else:
            found = None
        return found

    def _methods(self, found: str | None) -> str | None:
        """Follow `.resolve().parent` and the like after a call."""
        while self._take("."):
            word = _NAME.match(self._text, self._at)
            if word is None:
                return None
            self._at = word.end()
            *steps, last = word[0].split(".")
            if self._take("("):
                list(self._arguments())
                if last not in _METHODS:
                    return None
            else:
                steps.append(last)
            if set(steps) - {"parent"}:
                return None
            found = _above(found, len(steps))
        return found

    def _arguments(self) -> Iterable[str | None]:
        for _ in range(_ARGUMENTS_MAX):
            self._skip()
            if self._take(")"):
                return
            inner = _Reader(self._source, self._at, self._depth + 1)
            yield inner.value()
            self._at = inner._at
            self._skip()
            if not self._take(","):
                self._take(")")
                return

    def _named(self, name: str) -> str | None:
        if name in _HERE:
            return self._source.folder
        if name in _FILE:
            return posixpath.join(self._source.folder, "source")
        if not name or name.startswith(_OF_ENVIRONMENT):
            return None
        for source in (self._source, *self._source.others):
            at = assigned(name.rpartition(".")[2], source.text)
            if at is not None:
                return _Reader(source, at, self._depth + 1).value()
        return None

    def _skip(self) -> None:
        if (space := _SPACE.match(self._text, self._at)) is not None:
            self._at = space.end()

    def _take(self, sign: str) -> bool:
        """Take a sign that comes next, alone."""
        twice = self._text.startswith(sign * 2, self._at) and sign in "/+."
        if twice or not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        return True


def _joined(parts: Sequence[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return posixpath.join(*known) if known and len(known) == len(parts) else None


def _above(path: str | None, steps: int) -> str | None:
    if path is None or not steps:
        return path
    return os.path.normpath(posixpath.join(path, *[".."] * steps))
