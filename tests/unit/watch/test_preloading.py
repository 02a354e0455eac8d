"""Which programs are understood, and the traps that a list of imports alone would fall into."""

import sys
from pathlib import Path

import pytest

from supervisor.watch.preloading import plan
from tests.unit.watch.preloadkit import Project

TWO = "import json\nimport colorsys\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project."""
    return Project(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["x.py", "--flag"],
        ["./x.py"],
        ["-u", "-X", "dev", "-W", "error", "-bO", "x.py"],
        ["-uXdev", "-Werror::UserWarning", "--", "x.py"],
        ["--check-hash-based-pycs", "always", "x.py"],
        ["-m", "x"],
        ["-mx"],
        ["-um", "pkg"],
        ["-m", "pkg.mod", "x.py"],
        ["folder"],
        ["-c", TWO],
        ["-Xfrozen_modules=off", "-c" + TWO],
        ["link.py"],
    ],
)
def test_a_program_is_found_as_python_finds_it(project: Project, command: list[str]) -> None:
    """A script, a module, a package, a folder or code, after whatever options."""
    project.write(dict.fromkeys(("x.py", "pkg/__main__.py", "folder/__main__.py"), TWO))
    project.write({"pkg/__init__.py": "", "pkg/mod.py": TWO, "elsewhere/real.py": "import beside"})
    project.write({"elsewhere/beside.py": TWO})
    (project.root / "link.py").symlink_to("elsewhere/real.py")
    planned = project.plan(*command)
    assert (planned.libraries, planned.stopped) == (("json", "colorsys"), "")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["gone.py"], "gone.py is not there"),
        (["-m", "gone"], "-m gone: it is not there"),
        (["-m", "bare"], "-m bare.__main__: it is not there"),
        (["-"], "the program is read from standard input"),
        ([], "the program is read from standard input"),
        (["-V"], "the option -V is not one that starts a program"),
        (["--version"], "the option --version is not one that starts a program"),
        (["-c"], "the option -c has no value"),
        (["x.zip"], "x.zip is an archive: its names are not looked at"),
    ],
)
def test_what_is_no_program_of_the_project_loads_nothing(
    project: Project, command: list[str], why: str
) -> None:
    """It is told in words, and never raised."""
    (project.root / "x.zip").write_bytes(b"PK\5\6" + b"\0" * 18)
    project.write({"bare/x.txt": ""})
    planned = plan([project.python, *command], cwd=project.root, env=project.env)
    assert (planned.libraries, planned.stopped) == ((), why)


def test_a_script_is_run_by_the_python_that_its_first_line_names(project: Project) -> None:
    """So it is with console scripts; what no Python runs is left alone."""
    text = "import sys\nfrom own import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    project.write({"bin/bot": f"#!{sys.executable}\n{text}", "bin/own.py": TWO + "main = 1\n"})
    project.write({"bin/env": f"#!/usr/bin/env -S {sys.executable} -u\n{text}"})
    project.write({"bin/shell": "#!/bin/sh\nexec python x.py\n", "bin/data": "x"})
    for name in ("bin/bot", "bin/env"):
        planned = plan([name], cwd=project.root, env=project.env)
        assert planned.libraries == ("json", "colorsys")
        assert planned.stopped == f"{project.root / name}:5: sys.exit is called"
    for name in ("bin/shell", "bin/data", "bin/gone", "no-such-program"):
        assert plan([name], cwd=project.root, env=project.env).libraries == ()


def test_a_python_that_does_not_answer_loads_nothing(project: Project) -> None:
    """A broken interpreter is the start's problem, told there."""
    project.write({"python3": "#!/bin/sh\nexit 3\n", "x.py": TWO})
    (project.root / "python3").chmod(0o755)
    planned = plan(["./python3", "x.py"], cwd=project.root, env=project.env)
    assert planned.libraries == ()


def test_the_environment_is_set_before_an_import(project: Project) -> None:
    """A library that reads it while it loads has to load after that."""
    project.install({"reads.py": "import os\nLEVEL = os.environ.get('LEVEL')\n"})
    project.write({"x.py": "import json, settings, reads\nprint(reads.LEVEL)\n"})
    project.write({"settings.py": "import os\nos.environ['LEVEL'] = 'high'\n"})
    planned = project.plan()
    assert planned.libraries == ("json",)
    where = f"{project.root}/settings.py:2"
    assert planned.stopped == f"{where}: os.environ[...] is set, which others may see"


def test_what_is_vendored_is_found_by_a_path_of_the_programs_own(project: Project) -> None:
    """After sys.path was touched, a name may mean another file."""
    project.install({"lib.py": "WHERE = 'installed'\n"})
    project.write({"vendor/lib.py": "WHERE = 'vendored'\n"})
    project.write({"x.py": "import json, sys\nsys.path.insert(0, 'vendor')\nimport lib\n"})
    planned = project.plan()
    assert (planned.libraries, planned.stopped) == (
        ("json",),
        f"{project.root}/x.py:2: sys.path.insert is called",
    )


def test_a_file_of_the_project_hides_what_a_library_needs(project: Project) -> None:
    """Loaded ahead, the library would take its own dependency, in the program the project's."""
    project.install({"lib.py": "import helper\n", "helper.py": "", "safe.py": ""})
    project.write({"x.py": "import safe, lib\n", "helper.py": ""})
    planned = project.plan()
    assert planned.libraries == ()
    assert planned.stopped == "the project's helper stands before the installed helper"


def test_a_file_of_the_project_hides_the_standard_library(project: Project) -> None:
    """A `random.py` beside the script is the classic; what is built in can't be hidden."""
    project.write({"x.py": "import tempfile\n", "sys.py": "", "os.py": "", "test.py": ""})
    assert project.plan().libraries == ("tempfile",)
    project.write({"random.py": ""})
    planned = project.plan()
    assert planned.libraries == ()
    assert planned.stopped == "the project's random stands before the installed random"


def test_names_that_a_library_may_try_are_told(project: Project) -> None:
    """`try: import config` in a library finds the project's, but only once the program runs."""
    project.install({"lib.py": "try:\n    import config\nexcept ImportError:\n    pass\n"})
    project.write({"x.py": "import lib\n", "config.py": "", "data/x.txt": "", "not-a-name.py": ""})
    assert {"config", "data", "x"} <= set(project.plan().own_names)


def test_loggers_that_a_configuration_silences_are_not_made_ahead(project: Project) -> None:
    """`dictConfig` switches off those that are there by then: what loads later is not."""
    project.install({"loud.py": "import logging\nLOG = logging.getLogger('loud')\n"})
    text = "import logging.config\nlogging.config.dictConfig({'version': 1})\nimport loud\n"
    project.write({"x.py": f"{text}print(loud.LOG.disabled)\n"})
    planned = project.plan()
    assert planned.libraries == ("logging", "logging.config")
    assert planned.stopped == f"{project.root}/x.py:2: logging.config.dictConfig is called"
    assert project.run(planned)[2] == project.run()[2] == "False\n"


@pytest.mark.parametrize(
    "source",
    [
        "import __main__\nFILE = __main__.__file__\n",
        "import sys\nFILE = sys.modules['__main__'].__file__\n",
        "import sys\nFILE = getattr(sys.modules.get('__main__'), '__file__', None)\n",
        "from __main__ import __file__ as FILE\n",
    ],
)
def test_a_library_looks_at_the_main_program(project: Project, source: str) -> None:
    """While a spare waits, there is none yet."""
    project.install({"looks.py": source})
    project.write({"x.py": "import json, looks\nprint(looks.FILE)\n"})
    planned = project.plan()
    assert planned.libraries == ("json",)
    assert planned.stopped == f"{project.root}/x.py:1: looks looks at the main program"


def test_what_is_known_to_mind_the_moment_is_refused(project: Project) -> None:
    """By ours, and by what a spare has been spoiled by."""
    project.install({"gevent/__init__.py": "", "threads/sub.py": "", "threads/__init__.py": ""})
    project.write({"x.py": "import json, threads.sub, gevent, colorsys\n"})
    planned = project.plan()
    assert planned.libraries == ("json", "threads", "threads.sub")
    assert ": gevent is not loaded ahead: " in planned.stopped
    planned = project.plan(refused={"threads.sub": "it starts a thread"})
    assert planned.libraries == ("json", "threads")
    assert planned.stopped.endswith("threads.sub is not loaded ahead: it starts a thread")


def test_nothing_of_the_project_is_loaded_ahead(project: Project) -> None:
    """Nor what an installed link or a path of its own leads to, nor what is watched."""
    project.write({"src/mine.py": "import json\n", "x.py": "import mine, kept, colorsys\n"})
    (project.site / "mine.py").symlink_to(project.root / "src" / "mine.py")
    project.install({"kept.py": "import quopri\n"})
    assert project.plan().libraries == ("json", "kept", "colorsys")
    watched = plan(
        [project.python, "x.py"],
        cwd=project.root,
        env=project.env,
        sources=[project.site / "kept.py"],
    )
    assert watched.libraries == ("json", "quopri", "colorsys")


def test_what_is_compiled_not_there_or_broken_ends_the_list(project: Project) -> None:
    """With the place, so that a person can see why a restart is as slow as it is."""
    project.write({"c.cpython-311-x86_64-linux-gnu.so": "", "b.py": "import json\nx = (\n"})
    project.write({"c.abi3.so": "", "d.py": "import gone\n"})
    for name, where, why in (
        ("c", "x.py:1", "c is compiled"),
        ("b", "b.py:2", "it can't be compiled"),
        ("d", "d.py:1", "gone is not there"),
    ):
        project.write({"x.py": f"import {name}\nimport colorsys\n"})
        assert project.plan().stopped == f"{project.root}/{where}: {why}"
        assert project.plan().libraries == ()


def test_no_text_of_the_program_but_names_is_told(project: Project) -> None:
    """A token may stand in a call: reasons are logged."""
    project.write({"x.py": "import bots\nbots.get('s3cret')['s3cret'].start(token='s3cret')\n"})
    project.install({"bots.py": ""})
    planned = project.plan()
    assert planned.stopped == f"{project.root}/x.py:2: bots.get(...)[...].start is called"
    project.env["ANYTHING"] = "s3cret"
    assert "s3cret" not in repr(project.plan())


def test_a_usercustomize_comes_between(project: Project) -> None:
    """It runs once a spare has loaded all, and could have decided what that should see."""
    project.write({"x.py": TWO})
    project.write({"user/usercustomize.py": "import os\nos.environ['LEVEL'] = 'user'\n"})
    project.env["PYTHONPATH"] += f":{project.root}/user"
    project.python = sys._base_executable  # type: ignore[attr-defined] # a venv has no user site
    planned = project.plan()
    assert planned.libraries == ()
    assert planned.stopped.startswith("a usercustomize runs before the program")


def test_an_interpreter_that_greets_gives_no_answer(project: Project) -> None:
    """What a sitecustomize prints stands before the answer: then there is no spare, and that is it.

    Who knows which of the words are the answer?
    """
    project.write({"x.py": TWO})
    project.install({"sitecustomize.py": "print('good morning')\n"})
    planned = project.plan()
    assert planned.libraries == ()
    assert planned.stopped.endswith("gave no answer (SyntaxError)")
