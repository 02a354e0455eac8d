"""What a module may do at its top level without any influence on what is imported after it.

Short on purpose: what is not listed ends the list of modules to load ahead, which costs a little
time. What is listed wrongly costs the bot's behaviour. Nothing here calls what it is given, sets
anything that another module sees, or writes to the disk.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _of(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


CALLS = frozenset(
    # Makes a value of its arguments. Not map, filter, sorted(key=...): they call.
    _of("builtins", "bool bytes bytearray complex dict enumerate float frozenset int len list")
    | _of("builtins", "max min object range reversed round set sorted str sum tuple zip")
    | _of("builtins", "abs all any chr divmod hash hex id isinstance issubclass ord pow repr")
    | _of("builtins", "classmethod staticmethod property slice")
    # Exceptions are made to be raised later.
    | _of("builtins", "Exception ValueError TypeError RuntimeError KeyError")
    # Says something to a person; no library reads it.
    | _of("builtins", "print")
    # Names a logger that need not exist yet. Its class and its handlers are set elsewhere.
    | _of("logging", "getLogger NullHandler")
    # Reads the environment, the folder or a path; setting them is another function.
    | _of("os", "getenv environ.get getcwd getpid fspath cpu_count urandom")
    | _of("os.path", "abspath basename dirname exists expanduser isdir isfile join realpath split")
    | _of("os.path", "normpath relpath splitext")
    | _of("pathlib", "Path PurePath PosixPath PurePosixPath Path.cwd Path.home")
    | _of("sys", "getdefaultencoding getfilesystemencoding intern")
    # Types, and what decorates functions and classes without calling them.
    | _of("typing", "TypeVar ParamSpec TypeVarTuple NewType NamedTuple TypedDict cast final")
    | _of("typing", "overload runtime_checkable no_type_check override")
    | _of("collections", "namedtuple defaultdict deque OrderedDict Counter ChainMap")
    | _of("dataclasses", "dataclass field make_dataclass")
    | _of("enum", "auto unique Enum IntEnum Flag IntFlag StrEnum")
    | _of("abc", "abstractmethod")
    | _of("functools", "cache lru_cache wraps partial cached_property singledispatch")
    | _of("functools", "total_ordering partialmethod")
    | _of("contextlib", "contextmanager asynccontextmanager suppress")
    | _of("contextvars", "ContextVar")
    | _of("types", "MappingProxyType SimpleNamespace")
    # Values, locks and queues that nobody waits on yet.
    | _of("re", "compile escape")
    | _of("string", "Template")
    | _of("struct", "Struct calcsize")
    | _of("textwrap", "dedent")
    | _of("datetime", "date datetime time timedelta timezone datetime.now datetime.utcnow")
    | _of("time", "time monotonic perf_counter")
    | _of("decimal", "Decimal")
    | _of("fractions", "Fraction")
    | _of("uuid", "UUID uuid4")
    | _of("zoneinfo", "ZoneInfo")
    | _of("itertools", "chain count cycle product repeat")
    | _of("operator", "attrgetter itemgetter")
    | _of("threading", "Lock RLock Event Semaphore Condition local")
    | _of("asyncio", "Lock Event Queue Semaphore")
    | _of("queue", "Queue SimpleQueue")
    | _of("weakref", "WeakKeyDictionary WeakSet WeakValueDictionary")
    # Reads data.
    | _of("json", "load loads dumps")
    | _of("tomllib", "load loads")
)

# Those of them whose answer depends on the moment, the place, or the generation: a file of the
# project in which one is called is not itself loaded ahead.
OF_THE_MOMENT = frozenset(
    _of("builtins", "print")
    | _of("os", "getenv environ.get getcwd getpid cpu_count urandom")
    | _of("os.path", "abspath exists expanduser isdir isfile realpath relpath")
    | _of("pathlib", "Path.cwd Path.home")
    | _of("datetime", "datetime.now datetime.utcnow")
    | _of("time", "time monotonic perf_counter")
    | _of("uuid", "uuid4")
    | _of("zoneinfo", "ZoneInfo")
)
# Methods of a path that do not look at the disk.
OF_NO_DISK = _words(
    "as_posix as_uri is_absolute joinpath relative_to with_name with_stem with_suffix"
)
# What is the same whenever it is asked, of a module whose other attributes are not.
OF_THE_INTERPRETER = frozenset(
    _of("sys", "byteorder hexversion implementation intern maxsize maxunicode platform version")
    | _of("sys", "version_info")
)

# Those of them that give back what may be called with a function or class, calling neither.
DECORATORS = frozenset(
    _of("abc", "abstractmethod")
    | _of("builtins", "classmethod staticmethod property")
    | _of("contextlib", "contextmanager asynccontextmanager")
    | _of("dataclasses", "dataclass")
    | _of("enum", "unique")
    | _of("functools", "cache lru_cache wraps cached_property singledispatch total_ordering")
    | _of("typing", "final overload runtime_checkable no_type_check override")
)

# Those that leave something on the class or function that they are given.
MARKS = frozenset(
    _of("dataclasses", "dataclass")
    | _of("functools", "total_ordering")
    | _of("typing", "final runtime_checkable no_type_check override")
)

# Methods of values whose kind is seen in the same file.
METHODS = {
    "literal": _words(
        "add append capitalize copy count decode encode endswith extend format get index insert "
        "items join keys lower lstrip replace rstrip split splitlines startswith strip title "
        "union update upper values zfill"
    ),
    "path": _words(
        "absolute as_posix as_uri exists expanduser is_absolute is_dir is_file joinpath read_bytes "
        "read_text relative_to resolve stat with_name with_stem with_suffix"
    ),
    "file": _words("close read readline readlines"),
}
# Of these methods of a path the result is a path.
PATHS = _words("absolute expanduser joinpath relative_to resolve with_name with_stem with_suffix")

# Bases that make a class a maker of classes: its subclasses then run code of the project.
METACLASSES = frozenset({"builtins.type", "abc.ABCMeta", "enum.EnumMeta", "enum.EnumType"})
# Methods that Python calls by itself while a class is made.
CALLED_BY_CLASSES = frozenset({"__init_subclass__", "__set_name__", "__prepare__"})
# Methods that are called where such a class is only named: `A[int]`, `issubclass(int, A)`.
CALLED_BY_USE = frozenset({"__class_getitem__", "__subclasshook__"})
CALLED_BY_ENUMS = frozenset({"__new__", "__init__", "_generate_next_value_", "_missing_"})
# Module attributes that are no more than said. Others of that form steer the import system.
SAID = frozenset(
    f"__{name}__"
    for name in _words(
        "all author authors copyright credits date description doc docformat email "
        "license maintainer status title url version version_info slots"
    )
)

# Top-level names that are never loaded ahead, nor anything after them.
REFUSED = {
    "antigravity": "it opens a browser",
    "this": "it prints a poem",
    "pygame": "it prints a greeting",
    "readline": "it takes over the terminal",
    "rlcompleter": "it takes over the terminal, through readline",
    "IPython": "it looks at the main program",
    "kivy": "it reads the command line and takes over logging",
    "gevent": "it is there to replace the standard library's parts, and in good time",
    "eventlet": "it is there to replace the standard library's parts, and in good time",
    "ddtrace": "it replaces parts of other libraries",
    "matplotlib": "it loads numpy, and chooses its backend by what is loaded",
    **dict.fromkeys(
        ("numpy", "pandas", "scipy", "sklearn", "torch", "tensorflow", "jax", "numba", "cv2"),
        "it starts threads for arithmetic",
    ),
    **dict.fromkeys(("polars", "pyarrow"), "it starts threads"),
}
