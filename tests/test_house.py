"""What holds for every file. Each rule stands for a mistake that is easy to make and hard to see.

The words that are looked for are written in pieces here, so that this file does not find itself.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Ours: what lies beside it at the top was made by running something.
PLACES = ("supervisor", "bot", "tests", "docs", ".ci")
TEXT = {".py", ".md", ".toml", ".sh", ".txt", ".cfg", ".yml", ".yaml", ""}
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# Folders of the machine that this was written on. A test's own made-up home is fine.
MACHINE = re.compile(r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot|Us" + r"ers|home/(?!me\b|somebody\b))")
EVERYTHING = {"Exception", "BaseException"}


def files() -> Iterator[Path]:
    """Yield every text file of the project."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and ours(path))
    for place in PLACES:
        yield from (path for path in (ROOT / place).rglob("*") if path.is_file() and ours(path))


def ours(path: Path) -> bool:
    """Return whether a person wrote it."""
    left_out = "__pycache__" in path.parts or path.name.startswith(".coverage")
    return path.suffix in TEXT and not left_out


@cache
def python(place: str, having: str = "") -> list[tuple[Path, ast.Module]]:
    """Return the parsed Python files of a folder; `having`: those with such a text alone."""
    texts = ((path, path.read_text()) for path in sorted((ROOT / place).rglob("*.py")))
    return [(path, ast.parse(text)) for path, text in texts if re.search(having, text)]


def lines(pattern: re.Pattern[str]) -> list[str]:
    """Return where a pattern stands."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_test_sleeps() -> None:
    """A test waits for what happens: time that passes proves nothing. Nor do scripts of tests."""
    call = re.compile(r"\bsl" + r"eep\(")
    wrong = [line for line in lines(call) if line.startswith("tests/")]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_to_be_done() -> None:
    """What is not done belongs in an issue, where somebody looks."""
    assert not lines(UNFINISHED)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """A path of one machine works on that one machine."""
    assert not lines(MACHINE)


def test_no_error_is_swallowed_unseen() -> None:
    """`except Exception: pass` hides the error that nobody thought of; `suppress` says why."""
    wrong: list[str] = []
    for place in ("supervisor", "bot", "tests"):
        for path, tree in python(place, "except|suppress"):
            text = path.read_text().splitlines()
            for node in ast.walk(tree):
                number = swallows(node)
                if number and "  # " not in text[number - 1]:
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {text[number - 1].strip()}")
    assert not wrong, "\n".join(wrong)


def swallows(node: ast.AST) -> int:
    """Return the line if this catches everything and does nothing about it, else 0."""
    if isinstance(node, ast.ExceptHandler):
        everything = node.type is None or (
            isinstance(node.type, ast.Name) and node.type.id in EVERYTHING
        )
        nothing = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
        return node.lineno if everything and nothing else 0
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        given = {arg.id for arg in node.args if isinstance(arg, ast.Name)}
        return node.lineno if name == "suppress" and given & EVERYTHING else 0
    return 0


def test_every_test_states_its_promise() -> None:
    """The docstring is what is promised; the code is how that is seen."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path, tree in python("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_file_says_what_it_is() -> None:
    """The first line of a module says what it decides or owns."""
    wrong = [
        str(path.relative_to(ROOT))
        for place in ("supervisor", "bot", "tests")
        for path, tree in python(place)
        if tree.body and not ast.get_docstring(tree)
    ]
    assert not wrong, "\n".join(wrong)
