"""What the documents show, taken out of them so that it can be run and checked."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPLIT = re.compile(r"(?<!\\)\|")


def documents() -> list[Path]:
    """Return the README and all of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def section(path: Path, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    lines = iter(path.read_text().splitlines(keepends=True))
    assert any(line.rstrip("\n") == heading for line in lines), f"{path.name} has no {heading!r}"
    found: list[str] = []
    fenced = False
    for line in lines:
        fenced ^= line.startswith("```")
        marks = line.partition(" ")[0]
        if not fenced and marks and set(marks) == {"#"} and len(marks) <= len(level):
            break
        found.append(line)
    return "".join(found)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [body for found, body in _FENCE.findall(text) if found == language]


def prose(text: str) -> str:
    """Return the text without its fenced blocks."""
    return _FENCE.sub("", text)


def code(text: str) -> list[str]:
    """Return the code spans, without those in fenced blocks."""
    return _CODE.findall(prose(text))


def rows(text: str) -> list[list[str]]:
    """Return the rows of the tables, heads and rulers left out."""
    found: list[list[str]] = []
    body = False
    for line in prose(text).splitlines():
        if not line.startswith("|"):
            body = False
        elif set(line) <= set("|-: "):
            body = True
        elif body:
            found.append([cell.strip() for cell in _SPLIT.split(line.strip()[1:-1])])
    return found


def links(text: str) -> list[str]:
    """Return where a text's links lead, those to the web left out."""
    return [target for target in _LINK.findall(prose(text)) if "://" not in target]


def headings(text: str) -> list[str]:
    """Return the headings, of all levels."""
    return _HEADING.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in headings(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (each := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(each)
    return found
