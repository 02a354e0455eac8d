"""Finds where a bot's source says that its session lies. Reads what was read of it, no disk."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from supervisor.config.preset import Regexes, SessionPlace
from supervisor.presets.expression import Source
from supervisor.presets.source import Project

_COMMENTS = ("//", "#", "*", "/*")


def named(session: SessionPlace, project: Project, cwd: Path) -> list[str]:
    """Return the places that the source names, the first that it names first.

    Relative to the working folder, or absolute. Never that folder itself or one above it: no
    session is all that.
    """
    before, _, after = session.named.partition("{}")
    names = [
        name if after and name.endswith(after) else f"{before}{name}{after}"
        for name in _values(session.source, project, cwd)
    ]
    within = folder(session, project, cwd)
    found = [os.path.normpath(Path(within, name)) for name in names]
    return [name for name in dict.fromkeys(found) if not _around(cwd, name)]


def folder(session: SessionPlace, project: Project, cwd: Path) -> str:
    """Return the folder in which the session lies, as the source names it or as usual."""
    return next(_values(session.folder_source, project, cwd), session.folder)


def _around(cwd: Path, name: str) -> bool:
    """Return whether the working folder lies in a place."""
    return cwd.is_relative_to(os.path.normpath(cwd / name))


def _values(regexes: Regexes, project: Project, cwd: Path) -> Iterator[str]:
    sources = {path: Source(text, _below(cwd, path)) for path, text in project.texts.items()}
    for regex in regexes:
        for path, source in sources.items():
            for match in regex.finditer(source.text):
                begun = source.text[source.text.rfind("\n", 0, match.start()) + 1 : match.start()]
                if begun.lstrip().startswith(_COMMENTS):
                    continue
                if regex.groups:
                    value: str | None = match[1]
                else:
                    others = tuple(other for at, other in sources.items() if at != path)
                    value = replace(source, others=others).value(match.end())
                # What is no file: `:memory:`, postgres://
                is_file = value and not value.startswith(":") and "://" not in value
                if value and is_file and value.isprintable():
                    yield value


def _below(cwd: Path, path: Path) -> str:
    """Return the folder of a source file, relative to the working folder where it is below."""
    above = path.parent
    return str(above.relative_to(cwd)) if above.is_relative_to(cwd) else str(above)
