"""Where names are found: packages, archives, finders of others, and paths that are switched off."""

import zipfile
from pathlib import Path

import pytest

from tests.unit.watch.preloadkit import Project

FINDER = """
import importlib.util, sys
MAPPING = {{"mine": {file!r}}}
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in MAPPING:
            return importlib.util.spec_from_file_location(name, MAPPING[name])
sys.meta_path.append(Finder)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project."""
    return Project(tmp_path)


def test_a_package_that_still_runs_may_not_have_bound_a_name(project: Project) -> None:
    """`from pkg import b` then gives the submodule b, and later the function."""
    project.write({"pkg/__init__.py": "from pkg import a\ndef b(): pass\n", "pkg/b.py": ""})
    project.write({"pkg/a.py": "import json\nfrom pkg import b\n", "x.py": "from pkg import a\n"})
    planned = project.plan()
    assert planned.libraries == ("json",)
    assert planned.stopped == f"{project.root}/pkg/a.py:2: pkg.b may be a module or not"
    project.write({"pkg/a.py": "", "pkg/b.py": "import colorsys\n", "x.py": "from pkg import b\n"})
    assert (project.plan().libraries, project.plan().stopped) == ((), "")


def test_a_name_that_all_names_of_another_module_may_hold(project: Project) -> None:
    """Whether `from pkg import b` loads pkg/b.py can't be seen in pkg/__init__.py."""
    project.install({"pkg/__init__.py": "from .core import *\n", "pkg/core.py": "", "pkg/b.py": ""})
    project.write({"x.py": "import json\nfrom pkg import b\n"})
    assert project.plan().stopped == f"{project.root}/x.py:2: pkg.b may be a module or not"
    project.install({"pkg/__init__.py": "from .core import *\nfrom . import b\n"})
    assert project.plan().libraries == ("json", "pkg", "pkg.b")
    project.install({"pkg/__init__.py": "class b:\n    pass\n"})
    assert project.plan().libraries == ("json", "pkg")
    project.write({"x.py": "import json\nfrom pkg import *\n"})
    assert project.plan().stopped == f"{project.root}/x.py:2: what pkg gives is not known before"


def test_all_names_of_a_package_of_the_project_are_those_it_lists(project: Project) -> None:
    """`from own import *` imports the submodules in __all__."""
    project.write({"own/__init__.py": "__all__ = ['a']\n", "own/a.py": "import json\n"})
    project.write({"x.py": "from own import *\nimport colorsys\n"})
    assert project.plan().libraries == ("json", "colorsys")
    project.write({"own/__init__.py": "__all__ = ['a', *'b']\n"})
    assert project.plan().stopped.endswith("x.py:1: what own gives is not written down")


def test_a_folder_without_init_is_a_package_too(project: Project) -> None:
    """A namespace: of the project, or of several libraries; a regular package goes before it."""
    project.install({"space/lib.py": "", "json5/__init__.py": ""})
    project.write({"own/a.py": "from . import b\n", "own/b.py": "import colorsys\n"})
    project.write({"json5/data.txt": "", "x.py": "import own.a, space.lib, json5\n"})
    assert project.plan().libraries == ("colorsys", "space", "space.lib", "json5")


def test_names_in_an_archive_are_not_looked_at(project: Project) -> None:
    """So nothing is known of any name."""
    with zipfile.ZipFile(project.root / "libs.zip", "w") as archive:
        archive.writestr("notes.py", "")
    project.env["PYTHONPATH"] += f":{project.root}/libs.zip"
    project.write({"x.py": "import json\n"})
    planned = project.plan()
    assert planned.libraries == ()
    assert planned.stopped.startswith(f"{project.root}/libs.zip is an archive")


def test_a_finder_of_others_makes_it_uncertain_that_a_module_is_missing(project: Project) -> None:
    """What it finds is the project's where it says so, as editable installs do."""
    project.write({"src/mine.py": ""})
    text = FINDER.format(file=str(project.root / "src" / "mine.py"))
    project.install({"__editable___mine_finder.py": text})
    project.write({"early/sitecustomize.py": "import __editable___mine_finder\n"})
    project.env["PYTHONPATH"] += f":{project.root}/early"
    missing = "try:\n    import gone\nexcept ImportError:\n    import colorsys\n"
    project.write({"x.py": f"import json\n{missing}"})
    planned = project.plan()
    assert planned.libraries == ("json",)
    assert planned.stopped == f"{project.root}/x.py:3: gone is not on the search path"
    assert "mine" in planned.own_names
    project.write({"x.py": "import json, mine, colorsys\n"})
    assert project.plan().libraries == ("json",)
    assert ": mine is the project's, " in project.plan().stopped


def test_a_module_of_a_library_is_no_program_of_ours(project: Project) -> None:
    """Python complains of one that was imported before; a package's __main__ never is."""
    planned = project.plan("-m", "json.tool")
    assert planned.libraries == ("json",)
    assert planned.stopped == "-m json.tool: the program is no file of the project"
    project.install({"app/__init__.py": "import colorsys\n", "app/__main__.py": "import json\n"})
    assert project.plan("-m", "app").libraries == ("app", "json")


@pytest.mark.parametrize("option", ["-P", "-I", "PYTHONSAFEPATH"])
def test_a_safe_path_has_no_folder_of_the_programs_own(project: Project, option: str) -> None:
    """Then a file beside the script hides nothing and is not found."""
    project.write({"x.py": "import colorsys, own\n", "own.py": "", "random.py": ""})
    if option.startswith("-"):
        planned = project.plan(option, "x.py")
    else:
        project.env[option] = "1"
        planned = project.plan()
    assert planned.libraries == ("colorsys",)
    assert planned.stopped == f"{project.root}/x.py:1: own is not there"


def test_the_interpreter_is_not_asked_what_it_would_answer_at_length(project: Project) -> None:
    """Nor does the bot's own wish to be inspected make it wait for a person."""
    project.write({"x.py": "import colorsys\n"})
    project.env |= {"PYTHONINSPECT": "1", "PYTHONVERBOSE": "1", "PYTHONPROFILEIMPORTTIME": "1"}
    assert project.plan().libraries == ("colorsys",)


def test_no_file_of_the_project_runs_for_the_answer(project: Project) -> None:
    """Whatever its name is: the bot alone decides when its code runs."""
    text = f"open({str(project.root / 'ran')!r}, 'w')\n"
    names = ("json", "re", "ast", "importlib", "os", "sys", "collections", "x", "types", "__main__")
    project.write({f"{name}.py": text for name in names})
    project.env["PYTHONPATH"] += f":{project.root}"
    assert project.plan().libraries == ()
    assert not (project.root / "ran").exists()
