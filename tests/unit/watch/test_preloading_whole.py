"""Which files of the project are loaded ahead themselves, and what is loaded anew after a save."""

import os
from pathlib import Path

import pytest

from supervisor.watch.preloading import Preload, plan, standing
from tests.unit.watch.preloadkit import Project

# What runs at the top level of a file that may be loaded ahead, and may not.
WHOLE = [
    "LIMIT = 3\nNAMES = ('a', *['b'], f'{LIMIT}')",
    "def f(x, y: int = 3, *z, k=(1, 2)) -> None:\n    import time\n    return time.time()",
    "async def f():\n    print(1)",
    "class A:\n    x: int = 1\n    def f(self):\n        return open('x')\nclass B(A):\n    pass",
    "import dataclasses as d\n@d.dataclass\nclass A:\n    x: list = d.field(default_factory=list)",
    "import enum\n@enum.unique\nclass A(enum.StrEnum):\n    X = enum.auto()",
    "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass A(Generic[T]):\n    pass",
    "import re, logging\nWORD = re.compile('a')\nlog = logging.getLogger(__name__)",
    "import sys\nif sys.version_info >= (3, 11):\n    import json\nOLD = sys.platform == 'win32'",
    "import lib\ndef f(x: lib.Thing | None = None) -> lib.Other:\n    return lib.Thing",
    "from pathlib import Path\nHERE = Path(__file__).parent / 'x'",
    "class Wrong(Exception):\n    pass\nclass Worse(Wrong, ValueError):\n    pass",
    "import os.path\nNAME = os.path.join('a', 'b') + os.sep",
    "from base import Base\nclass Mine(Base):\n    pass",
    "import base\nclass Mine(base.Base):\n    pass",
    "try:\n    import not_there\nexcept ImportError:\n    import json as not_there",
    "if __name__ == '__main__':\n    raise SystemExit",
    "import base\nAlias = base.Base\nclass Mine(Alias):\n    pass\nX = (lib := base.NUMBERS)['a']",
    "from kinds import Color\nX = {each: each.value for each in Color}\nY = f'{Color.RED.title}'",
    "import wide.below\nX = wide.below.Y",
]
OF_THE_MOMENT = [
    "import time\nSTARTED = time.monotonic()",
    "import os\nTOKEN = os.environ['TOKEN']",
    "import os\nTOKEN = os.environ.get('TOKEN')",
    "from os import environ as e\nTOKEN = 'x' in e",
    "import os\nalias = os",
    "import subprocess\nTOKEN = subprocess.os.environ",
    "import os\nTOKEN = os.getenv('STILLHERE_GENERATION')",
    "import sys\nDEBUG = '--debug' in sys.argv",
    "from sys import argv\nDEBUG = len(argv)",
    "import sys\nMAIN = sys.modules",
    "from pathlib import Path\nTHERE = Path('x').exists()",
    "from pathlib import Path\nTEXT = Path(__file__).read_text()",
    "with open(__file__) as file:\n    TEXT = file.read()",
    "import datetime\nNOW = datetime.datetime.now()",
    "import uuid\nME = uuid.uuid4()",
    "print('hello')",
    "import lib\nclass Mine(lib.Thing):\n    pass",
    "from lib import *\nx = environ",
    "import lib\nAlias = lib.Thing\nclass Mine(Alias):\n    pass",
    "from again import Thing\nclass Mine(Thing):\n    pass",
    "import timely",
    "from outer import timely",
    "import time\ndef f(x=time.time()):\n    pass",
    "import time\nclass A:\n    x = time.time()",
    "import time\nf = lambda x=time.time(): x",
    # By whatever name.
    "from settings import environ\nTOKEN = environ['TOKEN']",
    "import settings\nTOKEN = settings.system.environ['TOKEN']",
    "import os\nTOKEN = os.__dict__['environ']['TOKEN']",
    "from lib import environ\nTOKEN = environ['TOKEN']",
    # What a library's objects say.
    "from lib import settings\nTOKEN = settings.TOKEN",
    "import lib\nTOKEN = lib.settings['TOKEN']",
    "import lib\ns = lib.settings\nTOKEN = s.TOKEN",
    "import settings\nTOKEN = settings.lib.settings.TOKEN",
    # What nobody here has imported, or is handed on under no name.
    "import outer\nOUTER = [outer]",
    # What is called without a call.
    "import enum\nclass M:\n    pass\nclass E(M, enum.Enum):\n    A = 1",
    "from settings import E\nclass F(E):\n    A = 1",
    "import enum, os\nclass E(enum.Enum):\n    A = 1\n    def __str__(self):\n        return os.x",
    "import enum\nclass E(enum.Enum):\n    @property\n    def a(self):\n        return later()",
    "import enum\nclass E(enum.Enum):\n    @property\n    def a(self):\n        import os",
    "class A:\n    def __class_getitem__(cls, item):\n        return item\nX = A[1]",
    "import abc\nclass A(abc.ABC):\n    def __subclasshook__(cls):\n        return True",
]
# What changes a value that others hold too.
SHARED = [
    "TABLE = {}\nfrom base import *\nTABLE['x'] = 1",
    "from base import TABLE\nif TABLE:\n    TABLE = {}\nelse:\n    TABLE['x'] = 1",
    "import base, dataclasses\nBase = dataclasses.dataclass(base.Base)",
    "import base\nTABLE = base.TABLE\nTABLE['x'] = 1",
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with a library that has a class, and own files to be made of."""
    project = Project(tmp_path)
    project.install(
        {
            "lib.py": "class Thing: pass\nOther = Thing\nsettings = environ = {}\n",
            "wide/__init__.py": "",
            "wide/below.py": "Y = 1\n",
        }
    )
    project.write(
        {
            "base.py": "class Base:\n    pass\nNUMBERS = {'a': 1}\nTABLE = {}\n",
            "kinds.py": (
                "import enum\nclass Color(enum.Enum):\n    RED = 'r'\n    @property\n"
                "    def title(self):\n        return self.value.title() + NAMES[self]\n"
                "NAMES = {Color.RED: 'x'}\n"
            ),
            "settings.py": (
                "import os as system\nimport lib, enum\nfrom os import environ\n"
                "class E(enum.Enum):\n    pass\n"
            ),
            "again.py": "from lib import Thing\n",
            "timely.py": "import time\nNOW = time.time()\n",
            "outer/__init__.py": "",
            "outer/timely.py": "import os\nE = os.environ\n",
        }
    )
    return project


def own(planned: Preload) -> list[str]:
    """Return the project's modules that are loaded ahead, in order."""
    return [name for name in planned.modules if name in planned.own]


@pytest.mark.parametrize("text", WHOLE)
def test_what_only_defines_is_loaded_ahead(project: Project, text: str) -> None:
    """The same whenever it runs, and however often."""
    project.write({"mine.py": text, "x.py": "import mine\n"})
    planned = project.plan()
    assert planned.stopped == ""
    assert planned.modules[-1] == "mine"
    assert project.run(planned)[2] == project.run()[2] == ""


@pytest.mark.parametrize("text", OF_THE_MOMENT)
def test_what_looks_at_the_moment_is_not(project: Project, text: str) -> None:
    """Nor who imports it; what they import is, and what comes after."""
    project.write({"mine.py": text, "over.py": "import mine\n"})
    project.write({"x.py": "import over, base, colorsys\n"})
    planned = project.plan()
    assert planned.stopped == ""
    assert not {"mine", "over", "timely", "outer.timely"} & set(planned.own)
    assert planned.modules[-1] == "colorsys"
    assert "base" in planned.own


@pytest.mark.parametrize("text", SHARED)
def test_what_changes_what_others_hold_ends_the_list(project: Project, text: str) -> None:
    """They would see it too early, or not yet."""
    project.write({"mine.py": text, "later.py": "import base\nX = dict(base.TABLE)\n"})
    project.write({"x.py": "import mine, later\n"})
    planned = project.plan()
    assert planned.stopped.startswith(f"{project.root}/mine.py:")
    assert not {"mine", "later"} & set(planned.own)


def test_a_submodule_that_nobody_has_imported_yet(project: Project) -> None:
    """Loaded ahead, it would be there for who looks whether it is."""
    looks = "import pack, time\nNOW = time.time()\n"
    looks += "try:\n    X = pack.one.X\nexcept AttributeError:\n    X = 0\n"
    project.write({"pack/__init__.py": "", "pack/one.py": "X = 1\n", "mine.py": looks})
    project.write({"x.py": "import mine, pack.one\nprint(mine.X)\n"})
    planned = project.plan()
    assert planned.stopped.endswith("pack.one may be there by then or not")
    assert project.run(planned)[2] == project.run()[2] == "0\n"


def test_all_names_of_a_package_that_lists_none(project: Project) -> None:
    """The submodules that are loaded by then are among them."""
    project.write({"pack/__init__.py": "", "pack/one.py": "", "mine.py": "from pack import *\n"})
    project.write({"x.py": "import mine, pack.one\nprint(*sorted(vars(mine)))\n"})
    planned = project.plan()
    assert planned.stopped.endswith("pack gives what is loaded of it by then")
    assert project.run(planned)[2] == project.run()[2]


def test_a_module_in_the_place_of_a_value(project: Project) -> None:
    """Who takes a name from a package gets what stands there by then."""
    project.write({"pack/__init__.py": "name = 1\n", "pack/name.py": ""})
    project.write({"x.py": "import pack.name, mine\n", "mine.py": "from pack import name\n"})
    assert own(project.plan()) == ["pack"]


def test_a_module_comes_after_what_it_imports(project: Project) -> None:
    """As they run to their end; libraries where the program comes to them."""
    project.write(
        {
            "x.py": "import json, a\nfrom pack import two\n",
            "a.py": "import lib\nimport b\nimport colorsys\n",
            "b.py": "",
            "pack/__init__.py": "from . import one\n",
            "pack/one.py": "import quopri\n",
            "pack/two.py": "from .one import quopri\n",
        }
    )
    planned = project.plan()
    assert planned.libraries == ("json", "lib", "colorsys", "quopri")
    # `pack` binds `one` itself: what stood there before its import is not known to anybody.
    assert planned.modules == ("json", "lib", "b", "colorsys", "a", "quopri")


def test_modules_that_import_each_other_are_loaded_by_their_first(project: Project) -> None:
    """Loaded by another of them, they would run in another order."""
    project.write(
        {
            "x.py": "import a, last\n",
            "a.py": "import b\nA = 1\n",
            "b.py": "import c\nimport a\n",
            "c.py": "import b\n",
            "last.py": "import c\n",
        }
    )
    planned = project.plan()
    assert own(planned) == ["a", "last"]
    assert set(planned.own) == {"a", "b", "c", "last"}
    project.write({"c.py": "import b, time\nNOW = time.time()\n"})
    assert own(project.plan()) == []


@pytest.mark.parametrize("missing", ["gone", "a.gone"])
def test_what_fails_half_way_takes_none_with_it(project: Project, missing: str) -> None:
    """It has run in part, and will again; what it had imported by then stays."""
    project.write(
        {
            "x.py": "try:\n    import a\nexcept ImportError:\n    import colorsys\nimport base\n",
            "a.py": f"import b\nimport {missing}\n",
            "b.py": "import c\n",
            "c.py": "",
        }
    )
    planned = project.plan()
    if missing == "gone":
        assert planned.modules == ("c", "b", "colorsys", "base")
    assert "a" not in planned.own
    assert project.run(planned)[2] == project.run()[2]


def test_what_belonged_to_one_that_failed_is_not_whole(project: Project) -> None:
    """It stays, and holds on to one that is gone: only the program can bring that about."""
    project.write(
        {
            "x.py": "try:\n    import a\nexcept ImportError:\n    pass\nimport last, base\n",
            "a.py": "import b\nimport gone\n",
            "b.py": "import a\n",
            "last.py": "import b\n",
        }
    )
    planned = project.plan()
    assert own(planned) == ["base"]
    assert project.run(planned)[2] == project.run()[2] == ""


def test_the_programs_own_file_is_never_a_module_of_it(project: Project) -> None:
    """`python -m` complains of one that is there before it is run."""
    project.write({"pack/__init__.py": "", "pack/bot.py": "import other\n", "other.py": ""})
    project.write({"later.py": "import pack.bot\n", "x.py": "import later, x\n"})
    assert own(project.plan()) == ["pack", "other", "pack.bot", "later"]
    assert own(project.plan("-m", "pack.bot")) == ["pack", "other"]


def test_a_name_that_a_package_binds_is_left_to_it(project: Project) -> None:
    """`import pack.name` puts the module in the place of the value, at its own time."""
    project.write({"pack/__init__.py": "name = 1\n", "pack/name.py": "", "pack/free.py": ""})
    project.write({"x.py": "import pack\nprint(pack.name)\nimport pack.name, pack.free\n"})
    assert own(project.plan()) == ["pack", "pack.free"]


def test_what_is_edited_is_not_loaded_ahead(project: Project) -> None:
    """Nor what imports it; by whatever way its path is written."""
    project.write({"x.py": "import over, base\n", "over.py": "import mine\n", "mine.py": ""})
    link = project.root.parent / "link"
    link.symlink_to(project.root)
    command = [project.python, "x.py"]
    planned = plan(command, cwd=project.root, env=project.env, edited=[link / "mine.py"])
    assert planned.modules == ("base",)
    refused = project.plan(refused={"mine": "it printed"})
    assert refused.modules == ("base",)


@pytest.fixture
def several(project: Project) -> Project:
    """Return a project of some files that are all loaded ahead."""
    project.write({"x.py": "import over, base, pack.one, pack.two\n", "over.py": "import mine\n"})
    project.write({"mine.py": "import json\n", "pack/__init__.py": "", "pack/one.py": "X = 1\n"})
    project.write({"pack/two.py": "import pack.one\n"})
    return project


@pytest.mark.parametrize(
    ("file", "text", "anew"),
    [
        ("mine.py", "import json\nX = 2\n", {"mine", "over"}),
        ("mine.py", "import json, time\nX = time.time()\n", {"mine", "over"}),
        ("mine.py", "import json, not_there\n", {"mine", "over"}),
        ("pack/one.py", "X = 2\n", {"pack.one", "pack.two"}),
        ("pack/__init__.py", "Y = 1\n", {"pack", "pack.one", "pack.two"}),
        ("x.py", "import over, base, pack.one, pack.two, colorsys\n", set()),
        ("x.py", "import over, base\n", {"pack", "pack.one", "pack.two"}),
        ("x.py", "import base, over, pack.one, pack.two\n", "all"),
        ("mine/__init__.py", "import json\n", {"mine", "over"}),
        ("notes.txt", "", set()),
    ],
)
def test_what_changed_is_loaded_anew_and_what_imports_it(
    several: Project, file: str, text: str, anew: set[str] | str
) -> None:
    """All else stays: it would be the same."""
    planned = several.plan()
    assert set(planned.own) == {"over", "mine", "base", "pack", "pack.one", "pack.two"}
    assert standing(planned).own == ()
    several.write({file: text})
    found = standing(planned)
    if "not_there" in text:  # the walk ends there: what comes later is not known any more
        assert "may not be loaded ahead any more" in found.why
        return
    assert found.why == ""
    assert set(found.own) == (set(planned.own) if anew == "all" else anew)


def test_a_save_that_no_stamp_tells_counts_too(several: Project) -> None:
    """Within one tick of the clock, of the same size: the watcher knows it by its content."""
    planned = several.plan()
    file = several.root / "mine.py"
    found = standing(planned, edited=[file])
    assert set(found.own) == {"mine", "over"}
    before = file.stat()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # its ctime is new
    assert set(standing(planned).own) == {"mine", "over"}
