"""Who may import whom. A room that is not listed here fails: it has to be given its place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each imports only from those above it. A room is a folder or a file of supervisor/.
ROOMS = (
    "core",
    "config",
    "session",
    "process",
    "watch",
    "presets",
    "control",
    "service",
    "web",
    "loop",
    "doctor",
    "runner",
    "verify",
    "cli",
)
# The package itself offers the Python API, and is run by name.
DOORS = {"__init__": {"session"}, "__main__": {"cli"}}
# What decides gets facts and gives orders. With these it can reach neither clock nor world.
CORE_MAY_IMPORT = {"collections", "dataclasses", "enum", "typing"}
REACHES_OUT = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}


def sources(package: str) -> list[Path]:
    """Return the Python files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room of a file of supervisor/."""
    return path.relative_to(ROOT / "supervisor").parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of each import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its room"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def test_every_room_has_its_place() -> None:
    """A new folder or file at the top of supervisor/ must be put into the order."""
    unlisted = {room_of(path) for path in sources("supervisor")} - set(ROOMS) - set(DOORS)
    assert not unlisted, f"give it a place in ROOMS, and in docs/design.md: {sorted(unlisted)}"


def test_each_room_imports_only_from_those_above_it() -> None:
    """Below core nothing is known of what stands on it; cli may see all."""
    wrong: list[str] = []
    for path in sources("supervisor"):
        room = room_of(path)
        allowed = DOORS.get(room) or set(ROOMS[: ROOMS.index(room) + 1])
        for line, name in imported(path):
            head, _, rest = name.partition(".")
            if head == "supervisor" and rest.partition(".")[0] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "stranger"), [("bot", "supervisor"), ("supervisor", "bot"), ("bot", "tests")]
)
def test_the_bot_and_the_supervisor_share_no_code(package: str, stranger: str) -> None:
    """They share a contract: either may be replaced, or be broken, without the other."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources(package)
        for line, name in imported(path)
        if name.partition(".")[0] == stranger
    ]
    assert not wrong, "\n".join(wrong)


def test_the_link_needs_nothing_but_python() -> None:
    """`bot/link.py` is made to be copied: it imports the standard library's modules only."""
    outside = {"bot", "supervisor", "cryptography", "segno"}
    names = {name.partition(".")[0] for _, name in imported(ROOT / "bot" / "link.py")}
    assert not names & outside


def test_the_core_cannot_reach_the_world() -> None:
    """No clock, no file, no process, no socket, no thread: not even by a builtin."""
    wrong: list[str] = []
    for path in sources("supervisor/core"):
        for line, name in imported(path):
            if name.partition(".")[0] not in CORE_MAY_IMPORT | {"supervisor"}:
                wrong.append(f"{path.name}:{line}: imports {name}")
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Name) and node.id in REACHES_OUT:
                wrong.append(f"{path.name}:{node.lineno}: uses {node.id}")
            if isinstance(node, ast.AsyncFunctionDef | ast.Await):
                wrong.append(f"{path.name}:{node.lineno}: waits")
    assert not wrong, "\n".join(wrong)
