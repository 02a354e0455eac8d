"""Modules of the project that a spare has loaded are those that a cold start would load."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.process.plan import Ahead
from supervisor.watch import preloading
from tests.contract import pausekit
from tests.contract.pausekit import Ended, plain_environment, pythons

# Prints all that a module says of itself, for each of the project's.
TELL = """
import pack.other, helper, sys
from pack import tool
from pack.tool import Tool, LOG
def tell(module):
    spec, loader = module.__spec__, module.__loader__
    return [
        module.__name__, module.__file__, module.__package__, module.__cached__,
        list(getattr(module, "__path__", ["none"])), type(loader).__name__,
        getattr(loader, "path", ""), spec.name, spec.origin, spec.cached, spec.parent,
        spec.submodule_search_locations, spec.has_location, spec.loader is loader,
        [name for name in vars(module) if name != "__builtins__"],
    ]
for module in (pack, pack.other, pack.tool, helper):
    print(tell(module))
    print(module is sys.modules[module.__name__])
import gc, inspect, logging, pickle, traceback
print(pickle.dumps(Tool("x")), inspect.getsource(Tool), Tool("y"), Tool.__qualname__)
print(sys.path, pack.tool is tool, LOG is logging.getLogger("pack.tool"), helper.value())
below = getattr(helper.Wrong, "__sub" "classes__")  # by its name, no module would be loaded
print([each.__module__ for each in below()])
below = getattr(Exception, "__sub" "classes__")
print([each.__name__ for each in below() if each.__module__ == "helper"])
try:
    helper.fail()
except helper.Wrong:
    traceback.print_exc(file=sys.stdout)
"""
FILES = {
    "helper.py": (
        '"""Helps."""\nclass Wrong(Exception):\n    pass\ndef value():\n    return 1\n'
        "def fail():\n    raise Wrong('x')\n"
    ),
    "pack/__init__.py": '"""Holds."""\n',
    "pack/tool.py": (
        "import dataclasses, logging\nfrom helper import Wrong\nLOG = logging.getLogger(__name__)\n"
        "@dataclasses.dataclass\nclass Tool:\n    name: str\nclass Broken(Wrong):\n    pass\n"
    ),
    "pack/other.py": "from . import tool\nfrom .tool import Tool\nTOOLS = (Tool,)\n",
    "x.py": TELL,
    "main/__init__.py": "",
    "main/__main__.py": TELL,
}
FORMS = {
    "script": ["x.py"],
    "script by its path": ["{folder}/x.py"],
    "module": ["-m", "x"],
    "package": ["-m", "main"],
    "code": ["-c", TELL],
    "optimized, unbuffered": ["-O", "-u", "x.py"],
    "dev": ["-X", "dev", "x.py"],
}
LOADED = {"helper", "pack", "pack.tool", "pack.other"}


def write(folder: Path, **more: str) -> None:
    """Write the project; its files also stand in `main/`, for a folder that is run."""
    for name, text in {**FILES, **more}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def both(
    folder: Path, command: list[str], meanwhile: Callable[[], object] = lambda: None
) -> tuple[Ended, Ended, preloading.Standing]:
    """Run it cold and from a spare with all that may be loaded ahead; it must have loaded some."""
    return pausekit.both(folder, command, meanwhile, loaded=LOADED)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("python", pythons())
def test_they_are_what_a_cold_start_loads(tmp_path: Path, python: str, form: str) -> None:
    """Their names, files, loaders, contents and order of names; and what is made of them."""
    write(tmp_path)
    words = [word.replace("{folder}", str(tmp_path)) for word in FORMS[form]]
    cold, released, found = both(tmp_path, [python, *words])
    assert cold[0] == 0, cold
    assert cold == released
    assert found == preloading.Standing()


@pytest.mark.parametrize("name", ["runs", "link"])
def test_a_folder_that_is_run_and_a_script_by_a_link(tmp_path: Path, name: str) -> None:
    """Their search paths begin elsewhere than in the current folder."""
    write(tmp_path / "runs", **{"__main__.py": TELL})
    command = [sys.executable, "runs"]
    if name == "link":
        (tmp_path / "link").symlink_to("runs/x.py")
        command = [sys.executable, "link"]
    cold, released, _ = both(tmp_path, command)
    assert cold[0] == 0, cold
    assert cold == released


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("helper.py", "return 1", "return 2"),  # the same size
        ("helper.py", "class Wrong(", "class Other(Exception):\n    pass\nclass Wrong("),
        ("pack/tool.py", "name: str", "name: str\n    size: int = 3"),
        ("pack/other.py", "TOOLS = (Tool,)", "SIZES = ()"),
        ("pack/__init__.py", "Holds", "Held."),
        ("pack/tool.py", "LOG =", "import time\nNOW = time.time() > 0\nLOG ="),
        ("helper.py", "class Wrong(Exception)", "class Wrong(NotThere)"),
    ],
)
@pytest.mark.parametrize("python", pythons())
def test_what_is_saved_while_it_waits_is_what_runs(
    tmp_path: Path, python: str, file: str, old: str, new: str
) -> None:
    """It and what imports it are loaded anew, and nothing is left of what was there."""
    write(tmp_path)
    text = FILES[file].replace(old, new)
    assert text != FILES[file]
    cold, released, found = both(
        tmp_path, [python, "x.py"], lambda: (tmp_path / file).write_text(text)
    )
    assert cold == released
    assert found.why == ""
    assert found.own


def test_a_library_that_loads_more_of_the_project_spoils_it(tmp_path: Path) -> None:
    """What it would load is not known before, and nobody would see that it has changed."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "lazy.py").write_text("def __getattr__(name):\n    return __import__(name).x\n")
    write(tmp_path, **{"mine.py": "import lazy\nX = lazy.secret\n", "secret.py": "x = 1\n"})
    (tmp_path / "x.py").write_text("import mine\nprint(mine.X)\n")
    env = plain_environment() | {"PYTHONPATH": str(packages)}
    command = [sys.executable, "x.py"]
    planned = preloading.plan(command, cwd=tmp_path, env=env)
    assert planned.modules == ("lazy", "mine")
    ahead = Ahead(planned.modules, planned.own_names, tuple(planned.own), planned.first)
    said, _ = pausekit.paused(command, tmp_path, env, ahead)
    assert said == "spoiled mine: it imports secret, which the project has too"
