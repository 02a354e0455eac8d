"""A spare is only as good as what it was made of: what has changed since is seen."""

import shutil
import subprocess
from pathlib import Path

import pytest

from supervisor.watch.preloading import standing
from tests.unit.watch.preloadkit import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project that imports an installed module and an installed package."""
    project = Project(tmp_path)
    project.install({"single.py": "x = 1\n", "several/__init__.py": "", "several/sub.py": ""})
    project.write({"x.py": "import own, json\n", "own.py": "import single, several.sub\n"})
    return project


def test_what_is_as_it_was_still_holds(project: Project) -> None:
    """Asked often, and after a change of the project that touches no import."""
    planned = project.plan()
    assert planned.libraries == ("single", "several", "several.sub", "json")
    assert standing(planned).why == ""
    project.write({"own.py": "import single, several.sub\nx = 2\n", "notes.txt": ""})
    assert standing(planned, env=dict(project.env)).why == ""


def test_an_import_that_is_new_is_no_harm_and_one_that_is_gone_is(project: Project) -> None:
    """What is loaded must be the beginning of what the program now loads."""
    planned = project.plan()
    project.write({"x.py": "import own, json, colorsys\n"})
    assert standing(planned).why == ""
    project.write({"x.py": "import own\n"})
    assert standing(planned).why == "the program imports other modules"
    project.write({"x.py": "import json, own\n"})
    assert standing(planned).why == "the program imports other modules"
    project.write({"x.py": "import os\nos.environ['X'] = '1'\nimport own, json\n"})
    assert standing(planned).why.startswith(
        f"the program imports other modules ({project.root}/x.py:2: "
    )


@pytest.mark.parametrize("change", ["file", "package", "new", "removed", "pth"])
def test_a_library_that_has_changed_is_seen(project: Project, change: str) -> None:
    """An upgrade replaces files and folders; a new one may be what another has looked for."""
    planned = project.plan()
    match change:
        case "file":
            project.install({"single.py": "x = 22\n"})
        case "package":
            project.install({"new/__init__.py": "", "new/sub.py": ""})
            shutil.rmtree(project.site / "several")
            (project.site / "new").rename(project.site / "several")
        case "new":
            project.install({"another-1.0.dist-info/RECORD": ""})
        case "removed":
            (project.site / "several" / "sub.py").unlink()
        case "pth":
            project.install({"x.pth": "import json\n"})
    assert standing(planned).why.endswith(" has changed")
    assert standing(project.plan()).why == ""


def test_a_new_file_of_the_project_may_be_what_a_library_finds(project: Project) -> None:
    """It hides another, or is found where there was nothing."""
    planned = project.plan()
    project.write({"fresh.py": ""})
    assert standing(planned).why == "the project has a new module, fresh"
    project.write({"single.py": ""})
    assert standing(planned).why.startswith(
        "the program imports other modules (the project's single "
    )


def test_another_environment_or_folder_is_seen(project: Project) -> None:
    """A folder of the same name is another one: the old one is the spare's current folder."""
    planned = project.plan()
    assert standing(planned, env={**project.env, "X": "1"}).why == "the environment is another one"
    project.root.rename(project.root.with_name("old"))
    assert standing(planned).why == f"{project.root} is another folder"
    shutil.copytree(project.root.with_name("old"), project.root)
    assert standing(planned).why == f"{project.root} is another folder"


def test_another_interpreter_is_seen(tmp_path: Path, project: Project) -> None:
    """So is another environment for the same one."""
    venv = tmp_path / "venv"
    command = [project.python, "-m", "venv", "--without-pip", str(venv)]
    subprocess.run(command, check=True, timeout=60)
    project.python = str(venv / "bin" / "python")
    planned = project.plan()
    assert planned.libraries == ("single", "several", "several.sub", "json")
    assert standing(planned).why == ""
    config = venv / "pyvenv.cfg"
    config.write_text(config.read_text() + "# touched\n")
    assert standing(planned).why == f"{config} has changed"
    project.write({"x.py": "import extra\n", "more/extra.py": "import colorsys\n"})
    assert project.plan().libraries == ()
    link = next(venv.glob("lib/python*/site-packages")) / "more.pth"
    link.write_text(f"{project.root}/more\n")
    assert project.plan().libraries == ("colorsys",)


def test_what_the_site_loads_of_the_project_is_part_of_it(project: Project) -> None:
    """A sitecustomize runs before a spare waits: a change of it comes too late for that one."""
    project.write({"sitecustomize.py": "x = 1\n"})
    project.env["PYTHONPATH"] += f":{project.root}"
    planned = project.plan()
    assert planned.libraries
    project.write({"sitecustomize.py": "x = 22\n"})
    assert standing(planned).why == f"{project.root}/sitecustomize.py has changed"
