"""The documents say what is: commands, keys, phases, links and lines are held against the code."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.console import Console
from supervisor.cli.foreground import HELP
from supervisor.config import keys, load
from supervisor.core.state import Phase
from tests.commandline import commands, options, resolve
from tests.markdown import ROOT, blocks, code, documents, rows, section
from tests.test_layers import ROOMS

README = ROOT / "README.md"
START = ROOT / "docs" / "start.md"
CONFIG = ROOT / "docs" / "config.md"
DESIGN = ROOT / "docs" / "design.md"
CONTRACT = ROOT / "docs" / "contract.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
STAMPED = re.compile(r"\d\d:\d\d:\d\d (.*)")
# These run until they are stopped, or have a text to hand over.
NO_JSON = {
    "dev",
    "run",
    "init",
    "session export",
    "session import",
    "systemd show",
    "systemd install",
}


def said(path: Path) -> Iterator[list[str]]:
    """Yield the words after `stillhere` wherever a document shows a command line."""
    text = path.read_text()
    shown = code(text)
    for language in ("console", "text", "sh"):
        for block in blocks(text, language):
            lines = (line.strip().removeprefix("$ ") for line in block.splitlines())
            shown += [line for line in lines if line.startswith("stillhere ")]
    for line in shown:
        if line.startswith("stillhere ") and not line.startswith("stillhere 0."):
            yield shlex.split(line.replace("[", " ").replace("]", " ").partition("#")[0])[1:]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(path: Path) -> None:
    """Whatever a document has one type is understood, with its options."""
    for words in said(path):
        command, rest = resolve(words)
        shown = {word for word in rest[: (*rest, "--").index("--")] if word.startswith("-")}
        assert shown <= options(command), f"{' '.join(words)}: no option {shown}"


def test_the_readme_has_every_command() -> None:
    """Its table names each command once, and no other."""
    named: list[tuple[str, ...]] = []
    for cell, _ in rows(section(README, "## Commands")):
        first, *more = code(cell)
        words = shlex.split(first.replace("[", " ").replace("]", " "))[1:]
        command, rest = resolve(words)
        own = tuple(words[: len(words) - len(rest)])
        named.append(own)
        for other in more:
            name, _, given = other.partition(" ")
            named.append((*own[:-1], name))
            assert set(given.strip("[]").split()) <= options(resolve(list(named[-1]))[0])
        assert set(rest) - {"BOT", "--", "COMMAND..."} <= options(command)
    assert sorted(named) == sorted(commands())


def test_every_command_that_reads_has_json() -> None:
    """As the README says; those that change something have it as well."""
    without = {
        " ".join(words) for words in commands() if "--json" not in options(resolve(list(words))[0])
    }
    assert without == NO_JSON


def test_the_make_targets_exist() -> None:
    """`make` in the documents and in the Makefile's own help is something that make knows."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = set(re.findall(r"^\t@echo 'make ([a-z]+)", makefile, re.MULTILINE))
    for path in documents():
        text = path.read_text()
        spans = "\n".join(code(text) + blocks(text, "console") + blocks(text, "text"))
        shown |= set(re.findall(r"(?:^|\$ )make ([a-z]+)", spans, re.MULTILINE))
    assert {"dev", "scan", "chat", "test"} <= shown
    assert shown <= targets


def event(kind: str, bot: str | None = "echo", **fields: Any) -> dict[str, Any]:
    """Return a journal event."""
    return {"t": "2026-11-24T22:51:36.000Z", "bot": bot, "event": kind, **fields}


def restarted(reason: str, ready_s: float, gap_s: float | None, bot: str = "echo") -> Any:
    """Return the event at the end of a good restart."""
    record = {
        "reason": reason,
        "changed": ["bot/commands/ping.py"],
        "mode": "standby",
        "verified": True,
        "proof": "ready" if bot == "server" else "roundtrip",
        "late": False,
        "save_to_ready_s": ready_s,
        "gap_s": gap_s,
    }
    return event("restarted", bot, record=record)


def test_the_recording_is_what_the_console_says() -> None:
    """The first run of docs/start.md, line by line: the same events make the same words."""
    recorded = [
        found[1]
        for heading in ("## The bot that ships", "## Save a file, break a file")
        for block in blocks(section(START, heading), "text")
        for line in block.splitlines()
        if (found := STAMPED.fullmatch(line))
    ]
    (excerpt,) = blocks(section(README, "## Two commands"), "text")
    assert set(excerpt.splitlines()) <= set(START.read_text().splitlines())
    console = Console(
        {"server": None, "echo": "971505760056"}, scan={"echo": "make scan"}, has_keys=True
    )
    broken = {
        "path": "bot/commands/ping.py",
        "line": 11,
        "text": "SyntaxError: unterminated string literal (detected at line 11)",
    }
    happened = [
        event("supervisor_started", None, pid=6229, version="0.1.0"),
        event("claimed", "server"),
        event("ready", "server", generation=1),
        restarted("start", 0.9, None, "server"),
        event("claimed"),
        event("session_checked", verdict="absent", linked=False, files=0, epoch=0, snapshots=0),
        event("spawned", generation=1, pid=6240, mode="cold"),
        event("pairing", generation=1),
        event("linked", generation=1, identity="971505760056.1:6bcb61cefd1af188"),
        restarted("start", 0.1, None),
        event("changed", paths=["bot/commands/ping.py"]),
        restarted("change", 0.04, 0.01),
        event("preflight_failed", errors=[broken]),
        event("held", why="it does not compile", paths=["bot/commands/ping.py"]),
        restarted("change", 0.05, 0.01),
        restarted("manual", 0.04, 0.01),
    ]
    shown = [line for e in happened for line in console.lines(e) if line.weight != "detail"]
    lines = [line.text for line in shown]
    lines.insert(1, HELP)
    lines.insert(2, "page: http://127.0.0.1:41873/5b0e6c2f9d1a4e7783c6a1f0d2b49e85/")
    assert recorded == lines


def documented() -> dict[str, tuple[str, str]]:
    """Return the config keys of docs/config.md, each with type and default."""
    found: dict[str, tuple[str, str]] = {}
    for heading in re.findall(r"^## `\[(.+)\]`$", CONFIG.read_text(), re.MULTILINE):
        for key, kind, default, meaning in rows(section(CONFIG, f"## `[{heading}]`")):
            assert kind, key
            assert meaning, key
            found[f"{heading}.{key.strip('`')}"] = kind, default
    return found


def known_keys() -> dict[str, keys.Key]:
    """Return every key of the config, by its full name."""
    found = {f"{t}.{name}": key for t, table in keys.TABLES.items() for name, key in table.items()}
    found |= {f"bot.NAME.{name}": key for name, key in keys.BOT.items()}
    for table, inner in keys.BOT_TABLES.items():
        found |= {f"bot.NAME.{table}.{name}": key for name, key in inner.items()}
    found |= {f"preset.NAME.{name}": key for name, key in keys.PRESET.items()}
    for table, inner in keys.PRESET_TABLES.items():
        found |= {f"preset.NAME.{table}.{name}": key for name, key in inner.items()}
    return found


def test_the_config_page_has_every_key_and_no_other() -> None:
    """Both ways: a key that is not documented, and one that is only documented, fail."""
    known, page = known_keys(), documented()
    assert sorted(page) == sorted(known)
    for name, (_, default) in page.items():
        read = None if default == "none" else tomllib.loads(f"x = {default.strip('`')}")["x"]
        assert read == known[name].default, name


def test_the_allowed_words_and_bounds_are_the_ones_that_are_listed() -> None:
    """Where a key takes one of a few words, the page names just those; so with the least number."""
    page = documented()
    for name, key in known_keys().items():
        needs, kind = key.kind.needs, page[name][0]
        if needs.startswith("one of "):
            assert re.findall(r'`"([^"]*)"`', kind) == re.findall(r'"([^"]*)"', needs), name
        for least in re.findall(r"^a whole number\b.* of at least ([1-9]\d*)", needs):
            assert re.search(rf"number, (?:at least )?{least}\b", kind), name


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_that_is_shown_is_read(path: Path, tmp_path: Path) -> None:
    """A toml block is a whole config.toml, or it would mislead who copies it."""
    (tmp_path / "bot.py").touch()
    for block in blocks(path.read_text(), "toml"):
        (tmp_path / "config.toml").write_text(block)
        assert load(tmp_path / "config.toml").bots


def test_the_table_of_phases_is_the_machine_s() -> None:
    """Each phase in the order of the code, and in 'what follows' no word that is none."""
    table = rows(section(DESIGN, "## The machine"))
    assert [row[0].strip("`") for row in table] == [phase.value for phase in Phase]
    known = {phase.value for phase in Phase} | set(keys.BOT) | {"clear", "restore"}
    for row in table:
        assert set(code(" ".join(row))) <= known, row


def test_the_rooms_are_the_ones_there_are() -> None:
    """docs/design.md lists every room that exists, in the order that the imports keep."""
    (block,) = blocks(section(DESIGN, "## The rooms"), "text")
    listed = re.findall(r"^  ([a-z]+)(?:/|\.py) ", block, re.MULTILINE)
    folder = ROOT / "supervisor"
    there = [
        room
        for room in ROOMS
        if any((folder / room).glob("*.py")) or (folder / f"{room}.py").exists()
    ]
    assert listed == there


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_one_page_and_says_its_state(path: Path) -> None:
    """Numbered, titled, short, and at its end whether it holds."""
    text = path.read_text()
    assert text.startswith(f"# {path.stem[:3]} ")
    assert len(text.splitlines()) <= 60
    assert text.rstrip().splitlines()[-1].startswith(("In force", "Superseded by"))


def test_decisions_are_numbered_without_gaps() -> None:
    """001, 002, ...: a number is a name, and none is used twice."""
    assert [path.stem[:3] for path in DECISIONS] == [
        f"{number:03}" for number in range(1, len(DECISIONS) + 1)
    ]


def test_every_dependency_has_its_reason() -> None:
    """pyproject.toml has none that decision 001 does not give a reason for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        names += extra
    reasons = DECISIONS[0].read_text()
    missing = [
        name
        for name in (re.split(r"[<>=\[; ]", each)[0] for each in names)
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", reasons)
    ]
    assert not missing


def test_the_contract_names_all_that_the_bot_may_say_and_find() -> None:
    """Each variable that the supervisor reads or sets stands in docs/contract.md."""
    word = re.compile(r"\b(?:X_)?STILLHERE_[A-Z_]+\b")
    used: set[str] = set()
    for name in ("process/child.py", "process/contract.py", "process/tree.py", "loop/starts.py"):
        used |= set(word.findall((ROOT / "supervisor" / name).read_text()))
    assert used == set(word.findall(CONTRACT.read_text()))


def test_the_file_layout_names_what_exists() -> None:
    """What the README's layout has of the project itself is there, and git leaves out the rest."""
    (block,) = blocks(section(README, "## Where things lie"), "text")
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for line in block.splitlines():
        name = line.split()[0].partition("<")[0].rpartition("session-")[0] or line.split()[0]
        if not any(fnmatch(name, pattern) for pattern in ignored):
            assert (ROOT / name).exists(), name
