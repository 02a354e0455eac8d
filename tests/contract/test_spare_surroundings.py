"""A spare finds the surroundings of its program as a cold start finds them.

Paths, options, variables, and what `site` runs before the program: the user's own files.
"""

import os
import sys
import time
import zipfile
from pathlib import Path

import pytest

from supervisor.process.plan import Ahead
from tests.contract.pausekit import SPOILED, Ended, cold, paused, plain_environment, pythons, same

SHOW = """
import os, site, sys
print(sys.path, sys.argv, sys.orig_argv, sys.flags, sys.warnoptions, sys._xoptions)
print(list(os.environ.items()), list(sys.modules), [type(each) for each in sys.meta_path])
print(__name__, __file__, __package__, __spec__, type(__loader__), globals().get("__cached__"))
print(sys.stdin.encoding, sys.stdout.errors, sys.getfilesystemencoding(), site.ENABLE_USER_SITE)
print(getattr(sys, "noted", None), sys.pycache_prefix, sys.dont_write_bytecode, sys.path_hooks)
"""
# What the user's own file notes for the program, once for each time that it is run.
NOTE = """
import os, sys
sys.noted = [*getattr(sys, "noted", []), __name__, __file__, __spec__.name, list(sys.path),
             list(sys.modules), sorted(set(os.environ) - {"STILLHERE_GENERATION"})]
"""

OPTIONS = [
    ["-X", "dev"], ["-X", "utf8=0"], ["-X", "faulthandler"], ["-X", "frozen_modules=off"],
    ["-X", "no_debug_ranges"], ["-X", "warn_default_encoding"], ["-X", "pycache_prefix=there"],
    ["-X", "int_max_str_digits=0"], ["-X", "own=value"], ["-W", "error"], ["-W", "default"],
    ["-W", "error", "-bb", "-X", "dev"], ["-O"], ["-OO"], ["-B"], ["-P"], ["-s"], ["-u"], ["-d"],
    ["-q"], ["-i"], ["-R"], ["-x"], ["--check-hash-based-pycs", "always"],
]  # fmt: skip

VARIABLES = [
    {"PYTHONPATH": value}
    for value in ("", ":", "lib", ":lib", "lib:", "lib:lib/../lib", "{folder}/lib:/nothing")
] + [
    {"PYTHONHASHSEED": "0"}, {"PYTHONMALLOC": "debug"}, {"PYTHONOPTIMIZE": "2"},
    {"PYTHONSAFEPATH": "1"}, {"PYTHONNOUSERSITE": "1"}, {"PYTHONUTF8": "1"}, {"PYTHONDEVMODE": "1"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "É": "\udcff"},
    {"LANG": "en_US.ISO-8859-1"}, {"PYTHONIOENCODING": "latin-1:replace"},
    {"PYTHONWARNINGS": "error"}, {"PYTHONFAULTHANDLER": "1"}, {"PYTHONINSPECT": "1"},
    {"PYTHONPYCACHEPREFIX": "there"}, {"PYTHONNODEBUGRANGES": "1"}, {"PYTHONASYNCIODEBUG": "1"},
    {"PYTHONUNBUFFERED": "1", "STRANGE": "é=\udcff"},
]  # fmt: skip


def project(folder: Path) -> None:
    """Write the program, and an empty folder for its libraries."""
    (folder / "x.py").write_text("# the first line, which -x leaves out\n" + SHOW)
    (folder / "lib").mkdir()


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("python", pythons())
def test_options(tmp_path: Path, python: str, options: list[str]) -> None:
    """Whatever is asked of the interpreter is so."""
    project(tmp_path)
    same([python, *options, "x.py", "-X", "own"], tmp_path, plain_environment())


@pytest.mark.parametrize(
    "variables", VARIABLES, ids=lambda each: " ".join(map(ascii, each.items()))
)
@pytest.mark.parametrize("python", pythons())
def test_variables(tmp_path: Path, python: str, variables: dict[str, str]) -> None:
    """Each is what it was, at its place among the others, and so is the search path."""
    project(tmp_path)
    env = {key: value.format(folder=tmp_path) for key, value in variables.items()}
    same([python, "x.py"], tmp_path, {**plain_environment(), **env, "LAST": "one"})


@pytest.mark.parametrize("python", pythons())
def test_an_archive(tmp_path: Path, python: str) -> None:
    """A program in a zip, by its path and by a module's name."""
    with zipfile.ZipFile(tmp_path / "bot.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
        archive.writestr("inside.py", SHOW)
    same([python, "bot.zip", "arg"], tmp_path, plain_environment())
    env = plain_environment() | {"PYTHONPATH": "bot.zip"}
    same([python, "-m", "inside", "arg"], tmp_path, env)


def with_files(folder: Path, python: str, **files: str) -> tuple[str, Ended, Ended]:
    """Return what the spare said, and both ends, with these modules on the search path."""
    project(folder)
    for name, text in files.items():
        (folder / "lib" / f"{name}.py").write_text(text)
    env = plain_environment() | {"PYTHONPATH": "lib", "PYTHONDONTWRITEBYTECODE": "1"}
    said, released = paused([python, "x.py"], folder, env)
    return said, released, cold([python, "x.py"], folder, env)


@pytest.mark.parametrize("name", ["sitecustomize", "usercustomize"])
@pytest.mark.parametrize("python", pythons())
def test_the_users_own_files_run_once(tmp_path: Path, python: str, name: str) -> None:
    """With the same path, modules and variables around them."""
    said, released, expected = with_files(tmp_path, python, **{name: NOTE})
    assert said == "paused 0"
    assert released == expected
    times = released[1].count(f"'{name}', '{tmp_path}/lib/{name}.py'")
    # A virtual environment has no usercustomize.
    assert times == 1 or (times == 0 and name == "usercustomize" and sys.executable == python)


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.path.insert(0, '/first')\nsys.path.append('/last')",
        "import os\nos.environ['PYTHONPATH'] = '/other'\ndel os.environ['HOME']",
        "import gc, sys\ngc.disable()\ngc.set_threshold(5)\nsys.setrecursionlimit(200)",
        "import signal\nsignal.signal(signal.SIGUSR1, print)",
        "import atexit\natexit.register(print, 'end')",
        "raise ImportError('x', name='sitecustomize')",
        "import usercustomize",
        "import os\nos.system('ls /proc/self/fd')",
    ],
)
def test_what_a_sitecustomize_does_holds(tmp_path: Path, text: str) -> None:
    """It is done once, before the program."""
    (python,) = pythons()[0].values  # type: ignore[attr-defined]
    said, released, expected = with_files(tmp_path, python, sitecustomize=text, usercustomize=NOTE)
    assert said.startswith("paused")
    assert released == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "the project's sitecustomize ends in ZeroDivisionError"),
        ("import nothing", "the project's sitecustomize ends in ModuleNotFoundError"),
        ("raise SystemExit(3)", "the project's sitecustomize ends in SystemExit"),
        ("import sys\nsys.settrace(lambda *_: None)", "something traces what is run"),
        ("import sys\nsys.setprofile(lambda *_: None)", "something traces what is run"),
        (
            "import threading as t\nt.Thread(target=t.Event().wait, daemon=True).start()",
            "a thread runs before the program",
        ),
    ],
)
@pytest.mark.parametrize("python", pythons())
def test_what_a_sitecustomize_may_not_do(tmp_path: Path, python: str, text: str, why: str) -> None:
    """What a cold start would say of it, or show of it, is left to a cold start."""
    said, released, _ = with_files(tmp_path, python, sitecustomize=text)
    assert said == f"spoiled {why}"
    assert released == (SPOILED, "", "")


@pytest.mark.parametrize("python", pythons())
def test_what_comes_while_it_waits_is_found(tmp_path: Path, python: str) -> None:
    """A module in a folder that was looked at, and one in a folder that was not there."""
    (tmp_path / "x.py").write_text("import one, two, three\nprint(three.__file__)")
    lib, later = tmp_path / "lib", tmp_path / "later"
    lib.mkdir()
    (lib / "one.py").write_text("")
    before = lib.stat()

    def meanwhile() -> tuple[str, ...]:
        (lib / "two.py").write_text("")
        # As on a filesystem whose times are whole seconds.
        os.utime(lib, ns=(before.st_atime_ns, before.st_mtime_ns))
        later.mkdir()
        (later / "three.py").write_text("")
        return ()

    env = plain_environment() | {"PYTHONPATH": "later:lib"}
    _, released = paused([python, "x.py"], tmp_path, env, Ahead(("one",)), meanwhile)
    assert released == (0, f"{later}/three.py\n", "")


@pytest.mark.parametrize("python", pythons())
def test_logging_counts_from_the_release(tmp_path: Path, python: str) -> None:
    """`relativeCreated` of a record is the time since the program began, not since the pause."""
    code = "import logging\ns = logging._startTime\nprint(s / 1e9 if isinstance(s, int) else s)"
    (tmp_path / "x.py").write_text(code)
    moments: list[float] = []

    def meanwhile() -> tuple[str, ...]:
        moments.append(time.time())
        return ()

    command, env = [python, "x.py"], plain_environment()
    _, (_, out, _) = paused(command, tmp_path, env, Ahead(("logging",)), meanwhile)
    assert float(out) >= moments[0]
