"""What is not said by the file that was saved: a save changes more than its own module."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract import pausekit

# Nobody asks for it by its name, else no module would be loaded ahead.
BELOW = 'print([each.V for each in getattr(base.Base, "__sub" "classes__")()])\n'
BASE = "class Base:\n    pass\n"
HELD = {
    "typing": "def f(x: typing.Optional[Mine]):\n    pass\n",
    "overloads": "@typing.overload\ndef f(x: int): ...\ndef f(x=1):\n    return Mine\n",
    "generic": "T = typing.TypeVar('T')\nclass G(typing.Generic[T]):\n    pass\nI = G[Mine]\n",
    "protocol": "@typing.runtime_checkable\nclass P(typing.Protocol):\n    x: Mine\n",
    "logging": "import logging\nLOG = logging.getLogger(__name__)\nNO = logging.NullHandler()\n",
    "dataclass": "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass D:\n    x: Mine\n",
    "enum": "import enum\nclass E(enum.Flag):\n    A = 1\n    B = 2\n    C = A | B\n",
    "abc": "import abc\nclass A(Mine, abc.ABC):\n    V = 3\nY = issubclass(int, A)\n",
    "functools": "import functools\n@functools.singledispatch\ndef f(x=Mine):\n    pass\n",
}
CONFIGURE = "logging.config.dictConfig({'version': 1})\n"
LOGS = ("import logging.config\n", "mine.LOG.error('hello')\n")
Files = Mapping[str, str | None]  # None: it is not there


def check(
    folder: Path, files: Files, saved: Files, loaded: set[str], python: str = sys.executable
) -> str:
    """See that a spare which waits while these are saved is a cold start; return the output."""

    def save(these: Files) -> None:
        for name, text in these.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)

    save(files)
    command = [python, "x.py"]
    cold, released, _ = pausekit.both(folder, command, lambda: save(saved), loaded=loaded)
    assert cold == released
    assert cold[0] == 0, cold
    return cold[1]


@pytest.mark.parametrize("holds", HELD)
@pytest.mark.parametrize("python", pausekit.pythons())
def test_no_class_of_before_is_found_below_its_base(
    tmp_path: Path, python: str, holds: str
) -> None:
    """Nothing of Python's holds on to what was forgotten."""
    text = f"import typing\nfrom base import Base\nclass Mine(Base):\n    V = 1\n{HELD[holds]}"
    files = {"x.py": f"import base, mine\n{BELOW}", "base.py": BASE, "mine.py": text}
    saved = {"mine.py": text.replace("V = 1", "V = 22")}
    said = check(tmp_path, files, saved, {"base", "mine"}, python)
    assert said == "[22]\n"


def test_what_was_deleted_is_missed(tmp_path: Path) -> None:
    """By who has imported it, and has not changed."""
    guarded = "try:\n    import pack.extra\n    X = 1\nexcept ImportError:\n    X = 0\n"
    files = {"pack/__init__.py": "", "pack/extra.py": "", "mine.py": guarded}
    files |= {"over.py": "import mine\nX = mine.X\n", "x.py": "import over\nprint(over.X)\n"}
    loaded = {"pack", "pack.extra", "mine", "over"}
    assert check(tmp_path, files, {"pack/extra.py": None}, loaded) == "0\n"


@pytest.mark.parametrize("again", ["", "over"])
def test_a_submodule_that_somebody_else_has_loaded(tmp_path: Path, again: str) -> None:
    """Found as an attribute of its package, whatever that is called: it is looked at too."""
    files = {"pack/__init__.py": "", "pack/one.py": "X = 1\n", "a.py": "import pack.one\n"}
    files |= {"b.py": "import pack\nX = pack.one.X\n", "x.py": "import a, b\nprint(b.X)\n"}
    if again:
        files |= {"over.py": "import pack\n"}
        files["b.py"] = "from over import pack as p\nX = p.one.X\n"
    loaded = {"a", "b", "pack", "pack.one"} | ({again} - {""})
    assert check(tmp_path, files, {"pack/one.py": "X = 2\n"}, loaded) == "2\n"


def test_what_is_done_before_a_module_now(tmp_path: Path) -> None:
    """Loaded ahead, its logger would be there before all loggers are disabled."""
    before, after = LOGS
    files = {"mine.py": "import logging\nLOG = logging.getLogger(__name__)\n"}
    files["x.py"] = f"{before}import mine\n{CONFIGURE}{after}"
    check(tmp_path, files, {"x.py": f"{before}{CONFIGURE}import mine\n{after}"}, {"mine"})


def test_one_file_under_another_path(tmp_path: Path) -> None:
    """A module that has become a package, of the same file, says another path."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m.py").write_text("")
    (tmp_path / "mine.py").symlink_to("real/m.py")
    (tmp_path / "x.py").write_text("import mine\nprint(mine.__file__, mine.__package__)\n")

    def turn() -> None:
        (tmp_path / "mine.py").unlink()
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "__init__.py").symlink_to("../real/m.py")

    command = [sys.executable, "x.py"]
    cold, released, _ = pausekit.both(tmp_path, command, turn, loaded={"mine"})
    assert cold == released


def test_who_asks_what_was_made_of_a_class_gets_it_in_order(tmp_path: Path) -> None:
    """What is loaded anew would come last: nothing of such a project is loaded ahead."""
    files = {"base.py": BASE, "x.py": "import one, two, base\nprint(base.Base.__subclasses__())\n"}
    for name in ("one", "two"):
        files[f"{name}.py"] = f"from base import Base\nclass {name}(Base):\n    pass\n"
    check(tmp_path, files, {"one.py": files["one.py"] + "X = 1\n"}, set())
