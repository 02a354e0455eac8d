"""What a program does from its first line to its end is the same from a spare.

Each program runs to its end, cold and from a spare: the same status, output and error output.
"""

from pathlib import Path

import pytest

from supervisor.process.plan import Ahead
from tests.contract.pausekit import plain_environment, pythons, same

AHEAD = Ahead(("json", "logging", "multiprocessing", "subprocess", "threading", "warnings"))

# Run by a child of the program: what that one sees of its surroundings.
MULTI = """
import multiprocessing, os, sys
def work(queue):
    queue.put([sys.argv, sys.path, os.environ.get("PYTHONPATH"), __name__, sorted(os.environ)])
if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    queue = context.Queue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
    print(process.exitcode)
"""

ENDS = {
    "returns": "print('x')",
    "exit with a number": "raise SystemExit(7)",
    "exit with words": "raise SystemExit('bye')",
    "exit at once": "import os; print('x', flush=True); os._exit(9)",
    "exception": "def f():\n    return 1 / 0\nf()",
    "nested exceptions": "try:\n    1 / 0\nexcept OSError: pass\nfinally:\n    {}['x']",
    "syntax error": "def f(:\n",
    "missing import": "import nothing_of_that_name",
    "import of ours": "import sitecustomize",
    "keyboard interrupt": "raise KeyboardInterrupt",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGUSR1)",
    "broken output": "import os, sys; os.close(1); print('x')",
    "atexit": "import atexit\nfor n in 1, 2: atexit.register(print, n)\nprint(0)",
    "warnings": "import warnings\nwarnings.warn('w')\nwarnings.warn('d', DeprecationWarning)",
    "unraisable": "class C:\n    def __del__(self): 1 / 0\nC()",
    "thread that fails": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='t')\n"
    "t.start()\nt.join()",
    "recursion": "def f(n):\n    try: return f(n + 1)\n    except RecursionError: return n\n"
    "print(f(0))",
    "logging": "import logging; logging.warning('x'); logging.getLogger('y').error('z')",
    "spawn": MULTI.replace("METHOD", "'spawn'"),
    "fork": MULTI.replace("METHOD", "'fork'"),
    "forkserver": MULTI.replace("METHOD", "'forkserver'"),
    "another python": "import subprocess, sys\nprint(subprocess.check_output([sys.executable, '-c',"
    "'import os, sys; print(sys.path, list(os.environ.items()), list(sys.modules))']))",
    "pickled": "import pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C())).__class__)",
    "main": "import sys; m = sys.modules['__main__']; print(sorted(vars(m)), m is not None)",
    "asyncio": "import asyncio\nasync def f(): return 3\nprint(asyncio.run(f()))",
    "annotations": "x: int = 1\nprint(__annotations__)",
}

# Seen only where nothing is loaded ahead: see docs/decisions/015-the-warm-spare.md.
SEES = {
    "modules": "import sys; print(list(sys.modules))",
    "search cache": "import sys; print([(path, finder is None)"
    " for path, finder in sys.path_importer_cache.items()])",
    # `ast.AST` comes with the first source file that is compiled, whosever it is.
    "classes": "print(sorted(f'{c.__module__}.{c.__qualname__}' for c in object.__subclasses__()"
    " if c.__module__ != 'ast'))",
    "variables in order": "import os; print(list(os.environ.items()))",
    "variables of posix": "import posix; print(list(posix.environ.items()))",
    "variables of C": "import subprocess; print(subprocess.check_output(['env', '-0']))",
    "our functions": "import gc\ngc.unfreeze()\ngc.collect()\nprint([o for o in gc.get_objects() "
    "if 'paused' in getattr(getattr(o, '__code__', None), 'co_filename', '')])",
    "garbage": "import gc; print(gc.garbage, gc.callbacks, gc.get_debug(), gc.isenabled())",
    "frames": "import sys\nf = sys._getframe()\nwhile f: print(f.f_code.co_name); f = f.f_back",
    "names in sys": "import sys; print(sorted(vars(sys)), sys.exc_info())",
    "names in os": "import os; print(sorted(vars(os)))",
    "names in site": "import site\nprint(sorted((k, repr(v).split(' at 0x')[0]) "
    "for k, v in vars(site).items() if k != '__builtins__'))",
    "import locks": "import importlib._bootstrap as b; print(list(b._module_locks))",
    "source lines": "import linecache; print(list(linecache.cache))",
    "found": "import importlib.util as u; print([u.find_spec(f'{n}customize') for n in"
    " ('site', 'user')])",
    "streams": "import sys\nfor s in sys.stdin, sys.stdout, sys.stderr:\n"
    "    print(s.name, s.mode, type(s.buffer), s.newlines, s.fileno(), s in vars(sys).values())",
    "hooks": "import sys; print(sys.get_asyncgen_hooks(), sys.getdlopenflags(),"
    " sys.get_coroutine_origin_tracking_depth(), sys.gettrace(), sys.getprofile())",
    "context": "import contextvars; print(list(contextvars.copy_context()))",
    "threads": "import threading as t; print(t.active_count(),"
    " t.main_thread().ident == t.get_ident())",
}


@pytest.mark.parametrize("name", [*ENDS, *SEES])
@pytest.mark.parametrize("python", pythons())
def test_it_does_and_ends_as_a_cold_start(tmp_path: Path, python: str, name: str) -> None:
    """With nothing loaded ahead, to the last byte."""
    (tmp_path / "x.py").write_text((ENDS | SEES)[name])
    same([python, "x.py"], tmp_path, plain_environment())


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("python", pythons())
def test_it_ends_so_with_libraries_loaded_ahead(tmp_path: Path, python: str, name: str) -> None:
    """The same, with what it uses in place before it begins."""
    (tmp_path / "x.py").write_text(ENDS[name])
    same([python, "x.py"], tmp_path, plain_environment(), AHEAD)
