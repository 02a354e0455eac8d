"""Pauses an interpreter before the first line of its program, and leaves no trace when it goes on.

Runs in the bot's own interpreter, where `site` imports it as the last thing before the program. It
may need nothing but what `site` has loaded already, and must never let the program begin unasked.
What a program can still find out is listed in docs/decisions/015-the-warm-spare.md.

On its line (supervisor/process/spare.py has the other end) it gets three lists: names of the
project, modules to load, and those of the project that this loads, after the folder they are in. It
answers with one line of text, and waits for two more: what to forget of what it has loaded, and the
variables that the program is to see. The end of the line is the end of the process.
"""

# Also run by interpreters that we have no types for; `os` has no other way to leave at once.
import os
import sys

SPOILED = 77


def _read(line: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunk = os.read(line, length - len(data))
        if not chunk:
            os._exit(0)
        data += chunk
    return data


def _words(line: int) -> list[str]:
    """Read one list: its length in four bytes, then words with a NUL between them."""
    data = _read(line, int.from_bytes(_read(line, 4), "little"))
    return [os.fsdecode(word) for word in data.split(b"\0")] if data else []


def _say(line: int, text: str) -> None:
    os.write(line, text.replace("\n", " ").encode("utf-8", "replace") + b"\n")


def _spoil(line: int, why: str) -> None:
    _say(line, "spoiled " + why)
    os._exit(SPOILED)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _undo() -> int:
    """Make the environment and the search path what they are without us; return the line."""
    line = int(os.environ["STILLHERE_SPARE_FD"])
    os.set_inheritable(line, False)  # noqa: FBT003 - positional only
    ours = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is not loaded yet
    _set("PYTHONPATH", os.environ.get("STILLHERE_SPARE_PATH"))
    _set("STILLHERE_SPARE_PATH", None)
    _set("STILLHERE_SPARE_FD", None)
    sys.path.remove(ours)
    sys.path_importer_cache.pop(ours, None)
    return line


def _users_own() -> bool:
    """Import the sitecustomize that is found without us; return whether there is one."""
    sys.modules.pop("sitecustomize")
    try:
        __import__("sitecustomize")  # another one than this
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        return False
    return True


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _observed() -> bool:
    """Return whether somebody counts lines or calls, who would see ours among them."""
    tool = getattr(getattr(sys, "monitoring", None), "get_tool", lambda _: None)  # from 3.12 on
    return bool(sys.gettrace() or sys.getprofile() or any(map(tool, range(6))))


def _load(line: int) -> int:
    """Import what is asked for, in order; return how many modules that made."""
    own_names, modules, asked = frozenset(_words(line)), _words(line), []
    folder, *own = _words(line) or [""]

    def see(name: str, _path: object = None, _target: object = None) -> None:
        # Asked for what the program would find in its own folder, and was not meant to be loaded.
        if name.partition(".")[0] in own_names and name not in own:
            asked.append(name)

    # No class of ours, which would be found among the subclasses of `object`.
    guard = type(sys.implementation)(find_spec=see)  # type: ignore[call-arg] # a SimpleNamespace
    handlers = _handlers()
    before = len(sys.modules)
    sys.meta_path.insert(0, guard)
    for module in modules:
        # Of the program's own folder the rest is not for libraries: one that asks is told of.
        found = sys.path[:] if module in own and folder else None
        try:
            if found is not None:
                sys.path.insert(0, folder)
            __import__(module)
            if found is not None:
                sys.path[:] = found
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is not for the bot's eyes
            _spoil(line, f"{module}: its import ends in {type(error).__name__}")
        if asked:
            _spoil(line, f"{module}: it imports {asked[0]}, which the project has too")
        if _handlers() != handlers:
            _spoil(line, f"{module}: it handles a signal")
        if _threads() > 1:
            _spoil(line, f"{module}: it has started a thread")
    sys.meta_path.remove(guard)
    return len(sys.modules) - before


def _handlers() -> list[object]:
    signal = sys.modules["_signal"]
    return [signal.getsignal(number) for number in range(1, 32)]


def _freeze() -> None:
    """Take all that there is out of the collector's sight, and nothing that is of no use.

    The gap begins with the old generation's last moments: what is frozen is not looked at then.
    """
    there = "gc" in sys.modules
    import gc  # noqa: PLC0415 - unknown before, and again after

    gc.unfreeze()
    gc.collect()
    gc.freeze()
    if not there:
        del sys.modules["gc"]


def _forget(name: str) -> None:
    """Have a module of the project loaded anew when it is imported."""
    module = sys.modules.pop(name, None)
    package, _, last = name.rpartition(".")
    holder = vars(sys.modules[package]) if package in sys.modules else {}
    if module is not None and holder.get(last) is module:
        del holder[last]
    # Held by `typing`, its classes would stay, and be found among the subclasses of their bases.
    typing = vars(sys.modules["typing"]) if "typing" in sys.modules else {}
    typing.get("_overload_registry", {}).pop(name, None)
    for clear in typing.get("_cleanups", ()):
        clear()


def _go_on(line: int) -> None:
    """Take the program's variables, and be as fresh as an interpreter that has just started."""
    outdated = _words(line)
    for name in outdated:
        _forget(name)
    if outdated:
        _freeze()
    for word in _words(line):
        name, equals, value = word.partition("=")
        _set(name, value if equals else None)
    os.close(line)
    logging, time = sys.modules.get("logging"), sys.modules.get("time")
    if logging is not None and time is not None:
        in_ns = isinstance(vars(logging)["_startTime"], int)  # from 3.13 on
        vars(logging)["_startTime"] = time.time_ns() if in_ns else time.time()
    for path, finder in list(sys.path_importer_cache.items()):
        if finder is None:
            if os.access(path, os.F_OK):
                del sys.path_importer_cache[path]  # there was nothing before
        elif hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


try:
    _line = _undo()
    try:
        _there_is_one = _users_own()
    except BaseException as _error:  # noqa: BLE001 - `site` would go on, and run the program
        _spoil(_line, "the project's sitecustomize ends in " + type(_error).__name__)
    if _threads() > 1:
        _spoil(_line, "a thread runs before the program")
    if _observed():
        _spoil(_line, "something traces what is run")
    _count = _load(_line)
    _freeze()
    _say(_line, f"paused {_count}")
    _go_on(_line)
except BaseException:  # noqa: BLE001 - the same: nobody has asked for the program to run
    os._exit(SPOILED)
if not _there_is_one:
    # What `site` expects where there is none (Lib/site.py, execsitecustomize).
    raise ImportError("No module named 'sitecustomize'", name="sitecustomize")
