"""What is loaded ahead is what the program itself loads first, in its order, to the same effect."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.watch.preloadkit import Project

# Each library notes what it saw when it was loaded: `seen` tells whether that was the same.
LIBRARIES = {
    "plain.py": "import os, seen\nseen.ENV.append(os.environ.get('LEVEL'))\n",
    "nested/__init__.py": "from . import inside\nfrom .other import value\n",
    "nested/inside.py": "import plain\n",
    "nested/other.py": "value = 1\n",
    "nested/value.py": "import calendar\n",
    "nested/apart.py": "import plain, colorsys\n",
    "space/one.py": "import seen\nseen.ENV.append(len(seen.PATCHED))\n",
    "asks.py": "import os, sys, seen\nseen.ENV.append(sys.path[-1][-6:] + os.getcwd()[-6:])\n",
    "calls.py": "import seen\ndef call(*_):\n    seen.PATCHED.append(1)\n",
    "optional.py": "try:\n    import not_there\nexcept ImportError:\n    import statistics\n",
    "seen.py": "ENV = []\nPATCHED = []\n",
}
IMPORTS = [
    "import plain",
    "import nested.apart as apart",
    "from nested import inside, value",
    "from nested import apart",
    "import space.one",
    "from space import one as uno",
    "import asks",
    "from calls import call",
    "import optional, json",
    "import xml.dom.minidom",
    "from concurrent import futures",
    "import own",
    "from own import b",
    "from own.a import made",
    "from other import *",
    "try:\n    import not_there\nexcept ImportError:\n    import asks",
    "try:\n    import plain as p\nexcept ImportError:\n    import not_there",
    "try:\n    from nested import absent\nexcept ImportError:\n    import asks",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import space.one",
    "import sys\nif sys.version_info >= (3, 8):\n    import colorsys\nelse:\n    import asks",
    "if __name__ == '__main__':\n    import queue",
]
HARMLESS = [
    "import re, logging\nLOG = logging.getLogger(__name__)\nWORD = re.compile('x')",
    "from pathlib import Path\nHERE = Path(__file__).resolve().parent / 'x'",
    "import os\ndef f(x=1, *, y: int = 2) -> int:\n    os.environ['LEVEL'] = str(x)",
    "class C:\n    import colorsys as inner\n    x = [y for y in range(3)]",
    "from dataclasses import dataclass as d, field\n@d\nclass D:\n    x: int = field(default=1)",
    "ALL = {}\nALL['x'] = 1",
    "for i in range(2):\n    pass",
]
MEDDLING = [
    "import os\nos.environ['LEVEL'] = 'high'",
    "import os\nos.environ.setdefault('LEVEL', 'low')",
    "import os as o\ne = o.environ\ne |= {'LEVEL': 'in place'}",
    "import os\n(lambda: os.putenv('LEVEL', '1'))()\nos.chdir('/tmp')",
    "import sys\nsys.path.append('/opt/vendor')",
    "import sys\nsys.path[:0] = ['/opt/vendor']",
    "import calls\ncalls.call()",
    "import seen\nseen.PATCHED = [1, 2]",
    "import calls\n@calls.call\ndef g():\n    pass",
    "import seen\ndef me():\n    seen.PATCHED.append(1)\nme()",
    "import seen\nclass E:\n    seen.PATCHED.append(3)",
    (
        "import seen\nclass B:\n    def __init_subclass__(cls):\n        seen.PATCHED.append(4)\n"
        "class F(B):\n    pass"
    ),
    "import seen, re\nre.compile = seen.PATCHED.append\nre.compile(1)",
    "import seen\nfrom collections import defaultdict as d\nd(lambda: seen.PATCHED.append(1))[0]",
    "import seen\ntry:\n    len = seen.PATCHED.append\n    len(1)\nfinally:\n    pass",
    "import seen\nif seen:\n    seen.PATCHED.append(9)",
    "import seen\n[str for str in [seen.PATCHED.append] if str(1)]",
]
STANDARD = (
    "gc, asyncio, ssl, sqlite3, http.server, concurrent.futures, multiprocessing.pool, uuid, "
    "email.mime.text, urllib.request, ctypes, unittest.mock, importlib.metadata, logging.config"
)
LINES = st.lists(st.sampled_from([*IMPORTS, *IMPORTS, *HARMLESS, *MEDDLING]), max_size=7)
TELL = "\nimport sys, seen, logging\nprint(seen.ENV, seen.PATCHED, sys.path, __name__)\n"


def check(folder: Path, main: list[str], a: list[str], b: list[str]) -> None:
    """Plan a program, run it cold and with the plan loaded ahead, and compare."""
    project = Project(folder)
    project.install(LIBRARIES)
    program = "\n".join(main) + TELL
    own_a = "\n".join([*a, "made = 1"])
    project.write({"x.py": program, "own/__init__.py": "from . import b\n", "own/a.py": own_a})
    project.write({"own/b.py": "\n".join(b), "other.py": "import bisect\nthing = 1\n"})
    planned = project.plan()
    _, cold, said = project.run()
    ahead, later, said_then = project.run(planned)
    if "Traceback" in said:
        # A program that fails on its own ends before its time: it fails in the same words.
        assert said_then == said, planned
        return
    assert ahead == cold[: len(ahead)], planned
    assert [*ahead, *later] == cold, planned
    assert said_then == said, planned


@settings(max_examples=24, deadline=None, suppress_health_check=list(HealthCheck))
@given(main=LINES, a=LINES, b=LINES)
def test_a_plan_is_the_beginning_of_what_the_program_loads(
    main: list[str], a: list[str], b: list[str]
) -> None:
    """Whatever a program imports and does between: the same modules, their order, its output."""
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder), main, a, b)


@pytest.mark.parametrize("version", ["python3.11", "python3.12", "python3.13"])
def test_the_standard_library_is_the_interpreters_own(tmp_path: Path, version: str) -> None:
    """What is built in, frozen or loaded at the start differs from one Python to the next."""
    command = [shutil.which(version) or "false", "-c", "import sys; print(sys.executable)"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if answer.returncode:
        pytest.skip(f"{version} is not on this machine")
    # Not what is on PATH: a version manager has scripts there.
    project = Project(tmp_path, answer.stdout.strip())
    project.write({"x.py": f"import {STANDARD}\nfrom os import path\nfrom xml import sax\n"})
    planned = project.plan()
    assert planned.stopped == ""
    ahead, later, said = project.run(planned)
    assert (ahead, later, said) == (project.run()[1], [], "")


def test_a_project_file_that_fails_leads_elsewhere(tmp_path: Path) -> None:
    """Whether it can be imported is known only when it runs; of a library, when it is there."""
    project = Project(tmp_path)
    project.install({"lib.py": ""})
    project.write({"own.py": "from lib import absent\n"})
    text = "try:\n    import own\nexcept ImportError:\n    import json\nimport colorsys\n"
    project.write({"x.py": text})
    assert project.plan().libraries == ("lib",)
    project.write({"x.py": text.replace("own", "lib")})
    assert project.plan().libraries == ("lib", "colorsys")
    project.write({"x.py": text.replace("ImportError", "errors.Any").replace("own", "gone")})
    assert project.plan().stopped.endswith("x.py:3: what it catches is not known")
    project.write({"x.py": text.replace("ImportError", "ValueError").replace("own", "gone")})
    assert project.plan().stopped.endswith("x.py:2: gone is not there")
    project.write({"x.py": text.replace("import json", "raise")})
    assert project.plan().libraries == ("lib", "colorsys")


@pytest.mark.parametrize("line", MEDDLING)
def test_after_what_meddles_nothing_is_loaded_ahead(tmp_path: Path, line: str) -> None:
    """The libraries after it see what it did; those before it are loaded ahead all the same."""
    project = Project(tmp_path)
    project.install(LIBRARIES)
    project.write({"x.py": f"import calls\n{line}\nimport asks, plain, space.one{TELL}"})
    planned = project.plan()
    assert planned.libraries[0] == "calls"
    assert not {"asks", "plain", "space.one"} & set(planned.libraries), planned
    assert planned.stopped.startswith(f"{project.root}/x.py:")
    check(tmp_path, ["import calls", line, "import asks, plain, space.one"], [], [])


@pytest.mark.parametrize("line", [*IMPORTS, *HARMLESS])
def test_what_is_plain_is_followed_to_the_end(tmp_path: Path, line: str) -> None:
    """A list that ends too early is right and of no use: what is common must not end it."""
    project = Project(tmp_path)
    project.install(LIBRARIES)
    project.write({"own/__init__.py": "", "own/a.py": "made = 1\n", "own/b.py": "", "other.py": ""})
    project.write({"x.py": f"{line}\nimport this_is_last\n"})
    project.install({"this_is_last.py": ""})
    planned = project.plan()
    if "absent" not in line:  # a `from` that may fail, with an import for that case
        assert planned.libraries[-1:] == ("this_is_last",), planned
    assert bool(planned.stopped) == ("absent" in line), planned
