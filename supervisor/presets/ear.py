"""Says in the words of the contract what a bot means that does not speak it: by what it prints.

Pure: a line in, words out. Whose device it is may have to be asked of the files; that, and what
follows from the words, is not decided here.
"""

import re
from collections.abc import Callable, Mapping

from supervisor.config.preset import Output, Regexes
from supervisor.presets.picture import Picture

Words = dict[str, str]
_LINE_MAX = 4000  # characters: what a library says of itself stands at the line's beginning
_REASON_MAX = 200
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,40}[A-Za-z]")
_LOGGED_OUT = "401 logged out"
_REPLACED = "440 replaced"


class Ear:
    """Hears one generation of a bot.

    `paired`: a QR code or a prompt for a link was seen, and no link since.
    """

    def __init__(self, output: Output) -> None:
        self.picture = Picture()
        self.paired = False
        self._output = output
        self._deaf_count = 0

    def hear(self, text: str) -> Words:
        """Return what a line means; nothing for most."""
        if self.picture.take(text):
            return {}
        line = _COLOUR.sub("", text[: 2 * _LINE_MAX])[:_LINE_MAX]
        for name, answer in _ANSWERS.items():
            match = _first(getattr(self._output, name), line)
            if match is not None:
                return answer(self, match)
        match = _first(self._output.identity, line)
        return {} if match is None else {"X_STILLHERE_IDENTITY": _group(match, "identity")}

    def code_shown(self) -> Words:
        """Return what a QR code means that was drawn."""
        self.paired = True
        return {"X_STILLHERE_SESSION": "pairing"}

    def up(self, identity: str = "") -> Words:
        """Return that it is up, as this device if that is known.

        Of a bot that neither was linked here nor tells who it is nothing is said but that.
        """
        words = {"READY": "1"}
        if self.paired or identity:
            words["X_STILLHERE_SESSION"] = "linked" if self.paired else "restored"
        if identity:
            words["X_STILLHERE_IDENTITY"] = identity
        self.paired = False
        return words

    def _ready(self, match: re.Match[str]) -> Words:
        return {"READY": "1", **_named(match)}

    def _linked(self, match: re.Match[str]) -> Words:
        self.paired = True  # told once it is up
        return _named(match)

    def _pairing(self, _match: re.Match[str]) -> Words:
        return self.code_shown()

    def _undecryptable(self, _match: re.Match[str]) -> Words:
        self._deaf_count += 1
        return {"X_STILLHERE_UNDECRYPTABLE": str(self._deaf_count)}


def _state(state: str, at_least: str = "") -> Callable[[Ear, re.Match[str]], Words]:
    """Return an answer that says this state, and why; `at_least`: what the reason must hold."""

    def answer(_ear: Ear, match: re.Match[str]) -> Words:
        reason = (_group(match, "reason") or match[0]).strip()[:_REASON_MAX]
        if at_least and at_least not in reason:
            reason = f"{at_least}: {reason}"
        return {"X_STILLHERE_SESSION": state, "X_STILLHERE_REASON": reason}

    return answer


# In this order: a line that tells of a logout may also say that it is connecting again.
_ANSWERS: Mapping[str, Callable[[Ear, re.Match[str]], Words]] = {
    "logged_out": _state("lost", _LOGGED_OUT),
    "conflict": _state("conflict", _REPLACED),
    "lost": _state("lost"),
    "pairing": Ear._pairing,  # noqa: SLF001 - the class's own table
    "linked": Ear._linked,  # noqa: SLF001 - the same
    "ready": Ear._ready,  # noqa: SLF001 - the same
    "undecryptable": Ear._undecryptable,  # noqa: SLF001 - the same
    "offline": _state("offline"),
    "connecting": _state("connecting"),
}
assert set(_ANSWERS) | {"identity"} == set(Output.__dataclass_fields__)  # noqa: S101 - none forgotten


def _first(regexes: Regexes, line: str) -> re.Match[str] | None:
    return next((match for regex in regexes if (match := regex.search(line))), None)


def _group(match: re.Match[str], name: str) -> str:
    return (match.groupdict().get(name) or "")[:_REASON_MAX]


def _named(match: re.Match[str]) -> Words:
    identity = _group(match, "identity")
    return {"X_STILLHERE_IDENTITY": identity} if identity else {}
