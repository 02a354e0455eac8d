"""Every document is found, every link leads to what is there, every example can be read."""

import ast
import json
import tomllib
from pathlib import Path

import pytest

from tests.markdown import ROOT, anchors, blocks, documents, links

INDEX = ROOT / "docs" / "README.md"
ENTRIES = (ROOT / "README.md", INDEX)


def each_document() -> pytest.MarkDecorator:
    """Run a test for each document, under its name."""
    return pytest.mark.parametrize(
        "path", documents(), ids=lambda path: str(path.relative_to(ROOT))
    )


def led_to(path: Path) -> set[Path]:
    """Return the files that a document links to."""
    text = path.read_text()
    return {
        (path.parent / target.partition("#")[0]).resolve()
        for target in links(text)
        if not target.startswith("#")
    }


def broken(path: Path, text: str) -> list[str]:
    """Return the links of a text that lead nowhere, were it the document at this path."""
    wrong: list[str] = []
    for target in links(text):
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        if not other.exists() or not other.resolve().is_relative_to(ROOT):
            wrong.append(target)
        elif anchor:
            there = text if other.resolve() == path.resolve() else other.read_text()
            wrong += [target] * (anchor not in anchors(there))
    return wrong


@each_document()
def test_every_link_leads_somewhere(path: Path) -> None:
    """Relative links only to what is there, and anchors only to headings."""
    assert not broken(path, path.read_text())


def test_a_link_that_leads_nowhere_is_seen() -> None:
    """Whatever is wrong with it: the file, the heading, here or elsewhere."""
    text = "# Here `it` is\n[a](#here-it-is) [b](#not-here) [c](config.md#botname) [d](none.md)\n"
    text += "[e](config.md#none) [f](../../elsewhere) [g](https://example.org/#x)\n"
    wrong = ["#not-here", "none.md", "config.md#none", "../../elsewhere"]
    assert broken(INDEX, text) == wrong


def test_the_index_has_every_document_once() -> None:
    """What is not in the index is not read."""
    listed = [line for line in INDEX.read_text().splitlines() if line.startswith("- [")]
    named = [(INDEX.parent / links(line)[0]).resolve() for line in listed]
    there = {path for path in documents() if path not in ENTRIES}
    missing = sorted(str(path.relative_to(INDEX.parent)) for path in there - set(named))
    assert not missing, f"add a line '- [NAME](NAME): what it is for.' to docs/README.md: {missing}"
    assert len(named) == len(set(named)) == len(there), "it lists one twice, or none of ours"


def test_every_document_can_be_reached() -> None:
    """By links from the README."""
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        path = left.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            left += led_to(path)
    assert set(documents()) <= reached


@each_document()
def test_what_is_shown_can_be_read(path: Path) -> None:
    """Python, JSON and TOML in the documents parse."""
    text = path.read_text()
    for block in blocks(text, "python"):
        ast.parse(block)
    for block in blocks(text, "json"):
        json.loads(block)
    for block in blocks(text, "toml"):
        tomllib.loads(block)


@each_document()
def test_the_fences_are_closed_and_named(path: Path) -> None:
    """A fence that is not closed swallows the rest; one without a name is checked by nobody."""
    fences = [line for line in path.read_text().splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0
    assert all(fence != "```" for fence in fences[::2])
    assert all(fence == "```" for fence in fences[1::2])
