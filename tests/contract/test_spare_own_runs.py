"""Made-up projects, saved at random while a spare waits: it does what a cold start does."""

import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract import pausekit

NAMES = ("a", "b", "pack", "pack.one", "pack.two")
FILES = {"pack": "pack/__init__.py"}
LINES = [
    *("import {o}", "import {o}\nV = {o}.X", "import {o} as p\nV = p.X", "from {o} import X as V"),
    *("from {o} import *", "import {o}\nclass D({o}.C):\n    V = X", "from {o} import L as M"),
    "from {o} import C as B\nclass D(B):\n    V = X",
    "try:\n    import {o}\n    OK = 1\nexcept ImportError:\n    OK = 0",
    "try:\n    from pack import two as t\nexcept ImportError:\n    t = None",
    "import {o}\nz = {o}\nW = z.X",
    *("L['k'] = X", "from {o} import L\nL['shared'] = 1", "import {o}\n{o}.L['q'] = 1"),
    "if X > 5:\n    from {o} import X as H\nelse:\n    H = 0",
    "from typing import Optional, overload\n@overload\ndef f(x: Optional[C]): ...\ndef f(x): ...",
    (
        "import enum\nclass E(enum.Enum):\n    A = X\n    @property\n    def p(self):\n"
        "        return self.value\nS = f'{{E.A.p}}'"
    ),
    "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass D:\n    x: int = X",
    "import logging\nLOG = logging.getLogger(__name__)",
    "import logging.config\nlogging.config.dictConfig({{'version': 1}})",
    *("from os import environ", "import os as system", "import os\nos.environ['Q'] = str(X)"),
    "import os\nG = os.environ['STILLHERE_GENERATION']",
    (
        "try:\n    from {o} import environ as e\n    G = e['STILLHERE_GENERATION']\n"
        "except ImportError:\n    G = 0"
    ),
    (
        "import {o}\ntry:\n    G = {o}.system.environ['STILLHERE_GENERATION']\n"
        "except AttributeError:\n    G = 0"
    ),
    *("one = 5", "X += 1", "del L", "print(X)", "__all__ = ['X']", "import gone"),
]
TELL = """
import importlib, logging, os, sys
def show(value):
    if isinstance(value, type):
        home = sys.modules[value.__module__]
        below = getattr(value, "__sub" "classes__")() if value.__module__ in NAMES else ()
        return (
            str(value), getattr(home, value.__name__, None) is value, str(vars(value).get("V")),
            sorted(str(each) + str(vars(each).get("V")) for each in below),
        )
    if isinstance(value, type(sys)):
        return value.__name__, sys.modules[value.__name__] is value
    return str(value), getattr(value, "disabled", "")
for name in NAMES:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(name, type(error), error)
for name in NAMES:
    found = vars(sys.modules[name]) if name in sys.modules else {}
    print(name, sorted((k, show(v)) for k, v in found.items() if not k.startswith("__")))
print(os.environ.get("Q"))
"""
TEXTS = st.tuples(
    st.integers(0, 9),
    st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(NAMES)), max_size=2),
)
MAIN = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5)
SAVES = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | TEXTS), max_size=3)


def save(folder: Path, name: str, text: tuple[int, list[tuple[str, str]]] | None) -> None:
    """Write a module, or remove it."""
    path = folder / FILES.get(name, name.replace(".", "/") + ".py")
    path.parent.mkdir(exist_ok=True)
    if text is None:
        path.unlink(missing_ok=True)
        return
    number, lines = text
    said = [line.format(o=other) for line, other in lines]
    start = f"X = {number}\nL = {{'x': X}}\nclass C:\n    V = X\n"
    path.write_text(start + "\n".join(said) + "\n")


@settings(max_examples=24, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.tuples(*(TEXTS for _ in NAMES)), main=MAIN, saves=SAVES)
def test_a_released_spare_is_a_cold_start(
    files: tuple[tuple[int, list[tuple[str, str]]], ...],
    main: list[str],
    saves: list[tuple[str, tuple[int, list[tuple[str, str]]] | None]],
) -> None:
    """Its output, whatever its modules do to each other and whichever were saved meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module, text in zip(NAMES, files, strict=True):
            save(folder, module, text)
        program = [f"import {module}" for module in main]
        (folder / "x.py").write_text("\n".join([*program, f"NAMES = {NAMES}{TELL}"]))

        def meanwhile() -> None:
            for module, text in saves:
                save(folder, module, text)

        cold, released, found = pausekit.both(folder, [sys.executable, "x.py"], meanwhile)
        assert cold == released, found
