"""The words that the documents quote are the program's own: lines, events, phases."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from supervisor.cli.console import Console
from supervisor.core.state import Phase
from tests.markdown import ROOT, blocks, code, documents, rows, section

RECOVERY = ROOT / "docs" / "recovery.md"
YOUR_BOT = ROOT / "docs" / "your-bot.md"
EVENTS = ROOT / "docs" / "events.md"
# Names of the system's. And pages whose names are held by tests of their own, or are no names.
OTHERS = {"sd_notify", "https_proxy", "no_new_privs"}
HELD_ELSEWHERE = {"metrics.md", "performance.md"}
# What stands for something else in a quoted line, and is no word of the program's.
STANDS_FOR = ("ID", "DEVICE", "WHY", "N", "PID", "TIME", "AGE", "SNAPSHOT", "NAME", "PLACE", "FILE")
# 401, 440 and what follows are the network's words, in examples.
EXAMPLES = ("401 device removed", "440 replaced", "No space left on device", "No space left")
CUT = re.compile(
    "|".join(
        [
            r"\bN (?:snapshots|messages)\b",
            rf"\b(?:{'|'.join(STANDS_FOR)})\b",
            *map(re.escape, EXAMPLES),
            r"[:;,] ",
            r"[()\[\]`'.]",
        ]
    )
)


@cache
def nodes() -> list[tuple[Path, ast.AST]]:
    """Return every node of the program's source, and of the bot's, with its file."""
    paths = [path for room in ("supervisor", "bot") for path in (ROOT / room).rglob("*.py")]
    return [(path, node) for path in paths for node in ast.walk(ast.parse(path.read_bytes()))]


@cache
def said() -> str:
    """Return every text in the program's source, f-strings in pieces; each on a line of its own."""
    return "\n".join(
        {
            " ".join(node.value.split())
            for path, node in nodes()
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and path.is_relative_to(ROOT / "supervisor")
        }
    )


def names() -> set[str]:
    """Return every name and every text of the source: keys, fields, events, functions."""
    found = set(said().split("\n"))
    for _, node in nodes():
        match node:
            case ast.Name(id=str(name)) | ast.Attribute(attr=str(name)):
                found.add(name)
            case ast.arg(arg=str(name)) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.Constant(value=str(name)):
                found.add(name)
            case _:
                pass
    return found


def strange(line: str) -> list[str]:
    """Return the pieces of a quoted line that no text of the program has."""
    pieces = (" ".join(piece.split()) for piece in CUT.split(line))
    return [piece for piece in pieces if len(piece) > 1 and piece not in said()]


def quoted(path: Path) -> Iterator[str]:
    """Yield the lines that a document says the program says."""
    for block in blocks(path.read_text(), "text"):
        yield from block.splitlines()


@pytest.mark.parametrize("path", [RECOVERY, YOUR_BOT], ids=lambda path: path.stem)
def test_every_line_of_the_handbook_is_the_program_s(path: Path) -> None:
    """Who searches for a line finds it, word for word, but for what differs."""
    wrong = {line: found for line in quoted(path) if (found := strange(line))}
    assert not wrong, "it quotes what the program does not say (any more)"


def test_a_line_that_nobody_says_is_seen() -> None:
    """A word that differs is enough."""
    assert not strange("late: not verified in time, still waiting; nothing is restored for that")
    assert strange("late: not verified in time, still waiting; nothing was restored for that")
    assert strange("the snapshots up to N are missing, in PLACE")


@pytest.mark.parametrize("heading", ["## Find it by what you see", "## A bot is in FAILED"])
def test_what_one_looks_for_is_said_too(heading: str) -> None:
    """The left column of the tables holds pieces of lines."""
    for cell, *_ in rows(section(RECOVERY, heading)):
        assert code(cell)
        assert not [piece for span in code(cell) for piece in strange(span)], cell


def reported() -> dict[str, set[str]]:
    """Return the events that the program's source reports, with the fields that it spells out."""
    found: dict[str, set[str]] = {}
    for path, node in nodes():
        if isinstance(node, ast.Call) and path.parts[-2] != "cli":
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            words = [a.value for a in node.args if isinstance(a, ast.Constant) and a.value]
            if called.lstrip("_") in ("report", "tell", "note") and words:
                fields = {keyword.arg for keyword in node.keywords if keyword.arg}
                for given in node.args:
                    if isinstance(given, ast.Dict):
                        fields |= {str(k.value) for k in given.keys if isinstance(k, ast.Constant)}
                for word in words:
                    found.setdefault(str(word), set()).update(fields)
    return found


def listed() -> dict[str, set[str]]:
    """Return the events of docs/events.md, with their fields."""
    table = [row for row in rows(EVENTS.read_text()) if len(row) == 3]
    found = {code(name)[0]: set(code(fields)) for name, fields, _ in table}
    assert len(found) == len(table), "an event is listed twice"
    return found


def test_the_page_has_every_event_and_no_other() -> None:
    """Those that the console has words for: there is no event without."""
    assert sorted(listed()) == sorted(Console({})._told)


def test_the_page_has_the_fields_of_each_event() -> None:
    """Each that the source spells out, and none that it has nowhere."""
    page, source = listed(), reported()
    assert source.keys() & page.keys() >= {"restarted", "upgrading", "alert", "drill_failed"}
    missing = {
        name: sorted(gone)
        for name, fields in source.items()
        if name in page and (gone := fields - page[name])
    }
    assert not missing, "add these to docs/events.md"
    known = set(said().split("\n")).union(*source.values())
    assert {field for fields in page.values() for field in fields} <= known


def test_what_is_called_an_event_or_a_phase_is_one() -> None:
    """`event X` and `phase X` in the documents; the word behind is one of ours."""
    for path in documents():
        text = " ".join(path.read_text().split())
        for name in re.findall(r"\bevents? `([a-z_]+)`", text):
            assert name in Console({})._told, f"{path.name}: {name}"
        for name in re.findall(r"\bphases? `([a-z_ ]+)`", text):
            assert name in {phase.value for phase in Phase}, f"{path.name}: {name}"


def test_every_name_that_the_documents_use_is_one() -> None:
    """A key, a field, an event or a function that is gone, or spelled otherwise, is seen."""
    ours = names()
    for path in documents():
        if path.parent.name == "decisions" or path.name in HELD_ELSEWHERE:
            continue
        for name in code(path.read_text()):
            if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", name):
                assert name in ours | OTHERS, f"{path.name}: `{name}` is nothing of ours"
