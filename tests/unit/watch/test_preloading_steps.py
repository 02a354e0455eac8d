"""What a statement may do before the imports after it can't be foreseen any more."""

import pytest

from supervisor.watch.imports.steps import Attempt, Import, Step, Stop, WhenMain, read

# Each has a way to reach what another module sees, or to call what the file does not show.
MEDDLING = r"""
import os; os.environ |= {}
import os; x, os.environ["A"] = 1, "2"
import os; [os.environ.update(a=1) for _ in [1]]
import os; {**os.environ.setdefault("A", "b")}
from os import environ as e; e["A"] = "b"
from os import environ as e; del e["A"]
from os import environ; e = environ; e |= {"a": "b"}
from os import environ; d = {}; d = environ; d["A"] = "b"
from os import environ; d = {}; (d := environ); d["A"] = "b"
from os import environ; d = {}; d, y = environ, 1; d["A"] = "b"
from os import environ; d = {}; [d := environ]; d["A"] = "b"
from os import environ; d = {}; d: dict = environ; d["A"] = "b"
for x["x"] in [1]: pass
with open("x") as x.y: pass
with open("x", "w") as f: pass
with lock: pass
open("x", mode="a")
open("x", **{"mode": "w"})
from pathlib import Path; Path("x").mkdir()
from pathlib import Path; Path("x").open("w")
from pathlib import Path; p = Path("x") / "y"; p.write_text("")
import json; json.loads("{}", object_hook=evil)
sorted([1], key=evil)
max([1], **{"key": evil})
import functools; functools.partial(evil, 1)()
from functools import partial; x = partial(evil); x()
import functools; @functools.partial(evil)
class A(metaclass=Meta): pass
class A(type): pass
class A(evil()): pass
class A(x=evil()): pass
class A: x = evil()
class A: __init_subclass__ = 1
class A: global z
from enum import Enum; class A(Enum):; def __init__(self): evil()
def f(x=evil()): pass
def f(*, x=evil()): pass
def f(x: evil()): pass
f = lambda x=evil(): 1
x: evil() = 1
__path__ = []
__builtins__ = {}
import x as __path__
from x import y as __file__
def __getattr__(name): pass
for x in y: import z
while True: import z
if x: import z
raise SystemExit
"a".join(x() for x in y)
f"{evil()}"
(yield)
from x import *; len(1)
from x import len; len(1)
len = x; len(1)
import re; re = x; re.compile(1)
import re; del re; re.compile(1)
from x import a as re; re.compile(1)
from x import re; re.compile(1)
from .x import re; re.compile(1)
import sys; sys.exit(1)
import sys; sys.setrecursionlimit(1)
import random; random.seed(1)
import locale; locale.setlocale(locale.LC_ALL, "")
import signal; signal.signal(2, f)
import warnings; warnings.filterwarnings("ignore")
import logging; logging.basicConfig()
import multiprocessing as m; m.set_start_method("spawn")
from dotenv import load_dotenv; load_dotenv()
import gevent.monkey; gevent.monkey.patch_all()
setattr(x, "y", 1)
exec("1")
__import__("x")
""".strip().split("\n")
HARMLESS = r"""
import os; TOKEN = os.environ["TOKEN"]; X = os.environ.get("X", "") or os.getenv("Y")
from pathlib import Path; HERE = Path(__file__).resolve().parents[1] / "x"; HERE.exists()
import re; WORD = re.compile(r"\w+", re.I); X: int = 1
import logging; log = logging.getLogger(__name__)
from typing import TypeVar, Generic; T = TypeVar("T"); Pair = tuple[T, T] | None
from enum import Enum, auto; A = Enum("A", "x y")
from collections import defaultdict; d = defaultdict(list); x = d["x"]
with open("x") as f: X = f.read()
from contextlib import suppress
N = {}; N["x"] = 1; N.update(a=2); L = []; L += [1]; L.append(lambda: evil())
__all__ = ["a"]; __all__ += ["b"]; __version__ = "1"
class A(B, C): x: int = 1; __slots__ = ("x",); __hash__ = None
from functools import lru_cache, wraps
for x in range(3): pass
x = [a for b in c for a in b if a]; y = {**x}; z = f"{x!r:>{y}}"; del x
assert x, "y"
""".strip().split("\n")


def stops(steps: tuple[Step, ...]) -> bool:
    """Return whether there is an end among the steps, or where a `try` may have failed."""
    return any(isinstance(s, Stop) or (isinstance(s, Attempt) and s.risky) for s in steps)


@pytest.mark.parametrize("line", MEDDLING)
def test_what_may_reach_others_ends_it(line: str) -> None:
    """What follows such a statement is not read as if nothing had been."""
    text = line.replace("; @", "\n@").replace("; class", "\nclass").replace("; def", "\n def") + (
        "\ndef g(): pass" if "@" in line else ""
    )
    assert stops(read(text.encode() + b"\nimport last\n", (3, 11)).steps)


@pytest.mark.parametrize("line", HARMLESS)
def test_what_can_reach_nobody_does_not_end_it(line: str) -> None:
    """Constants, types, loggers, paths and what is read."""
    steps = read(line.encode() + b"\nimport last\n", (3, 11)).steps
    assert not stops(steps), steps
    assert steps[-1] == Import(line.count("\n") + 2, "last")


def test_the_version_decides_as_in_the_bots_interpreter() -> None:
    """Not as in ours."""
    text = b"import sys\nif sys.version_info >= (3, 12):\n    import new\nelse:\n    import old\n"
    assert read(text, (3, 12)).steps[1] == Import(3, "new")
    assert read(text, (3, 11)).steps[1] == Import(5, "old")
    exactly = text.replace(b">= (3, 12)", b"> (3, 12)")
    assert read(exactly, (3, 12)).steps[1] == Import(3, "new")


def test_a_name_means_what_all_ways_through_agree_on() -> None:
    """After `try: import fast as json`, a call of json's may be a call of fast's."""
    text = "try:\n    import fast as json\nexcept ImportError:\n    import json\njson.dumps(1)\n"
    steps = read(text.encode(), (3, 11)).steps
    assert isinstance(steps[0], Attempt)
    assert steps[1] == Stop(5, "json.dumps is called")
    assert len(read(text.replace("fast as ", "").encode(), (3, 11)).steps) == 1
    text = "try:\n    import json\nexcept ImportError:\n    import slow as json\njson.dumps(1)\n"
    assert read(text.encode(), (3, 11)).steps[1] == Stop(5, "json.dumps is called")


@pytest.mark.parametrize(
    "text",
    [
        "import re\nfor x in y:\n    re.compile(1)\n    re = x\n",
        "import re\nwhile x:\n    re.compile(1)\n    re = x\n",
        "import re\nfor re in x:\n    re.compile(1)\n",
        "import re\nif x:\n    re = x\nre.compile(1)\n",
        "import re\ntry:\n    x\nexcept E as re:\n    re.compile(1)\n",
        "d = {}\nif x:\n    d = x\nd['y'] = 1\n",
        "d = {}\nfor x in y:\n    d['y'] = 1\n    d = x\n",
        "if x:\n    d = {}\nd['y'] = 1\n",
    ],
)
def test_what_may_have_run_before_counts(text: str) -> None:
    """A branch that was taken, or the round before."""
    assert stops(read(text.encode(), (3, 11)).steps)


def test_the_programs_own_part_is_kept_apart() -> None:
    """A module's `if __name__ == "__main__"` is dead where it is imported."""
    text = b"if __name__ == '__main__':\n    import a\nelse:\n    import b\n"
    assert read(text, (3, 11)).steps == (WhenMain((Import(2, "a"),), (Import(4, "b"),)),)


def test_source_that_cant_be_read_is_an_end() -> None:
    """Whatever the bytes are."""
    for source in (b"x = (", b"\0", b"# coding: nope\n", b"(" * 500, b"\xff"):
        assert read(source, (3, 11)).steps[0] == Stop(1, "it can't be compiled")
    assert stops(read(b"x = " + b"-" * 3000 + b"1", (3, 11)).steps)
