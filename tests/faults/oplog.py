"""What an operation did to the disk, call by call: strace's log, read into a model of files.

The model begins with the folder as it was. `Log.ops` are the changes in their order; which of
them a power cut leaves is `tests.faults.powercut`'s affair. Modes and times are left out.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

KINDS = (
    *("?open", "openat", "close", "lseek", "write", "pwrite64", "writev", "pwritev", "ftruncate"),
    *("copy_file_range", "sendfile", "fsync", "fdatasync", "sync", "syncfs", "?rename"),
    *("renameat", "renameat2", "?unlink", "unlinkat", "?mkdir", "mkdirat", "?rmdir", "?link"),
    *("linkat", "?symlink", "symlinkat", "truncate", "fallocate", "splice", "?creat", "mknodat"),
)
# Every string whole, and in hexadecimal, so that nothing has to be unescaped.
OPTIONS = ("-xx", "-s", "16777216", "-e", f"trace={','.join(KINDS)}")
_LINE = re.compile(r"^\d+ +([a-z0-9_]+)\((.*)\) += (-?\d+)")
# A path through a descriptor, as proc_pid_fd(5) has it.
_THROUGH = re.compile(r"/proc/self/fd/(\d+)(?=/|$)")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(slots=True)
class Folder:
    """A folder: names and the numbers of what they name."""

    names: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class File:
    """A file's bytes."""

    data: bytes = b""


@dataclass(slots=True)
class Link:
    """Where a symbolic link points."""

    target: str


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes written at an offset; `size`: the file ends there (ftruncate)."""

    node: int
    offset: int
    data: bytes = b""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What names name: (folder, name, before, after), None where there is nothing.

    A rename is two of them, and is one change. The last one's folder makes it last.
    """

    changes: tuple[tuple[int, str, int | None, int | None], ...]


@dataclass(frozen=True, slots=True)
class Sync:
    """What came before is on the disk: of one file or folder, or (node None) of all.

    `path` is for people.
    """

    node: int | None
    path: str


Op = Data | Names | Sync


class Log:
    """The model of a folder, and what was done in it. Calls elsewhere are not looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes: dict[int, Folder | File | Link] = {}
        self.ops: list[Op] = []
        self._open: dict[int, int] = {}
        self._at: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self.top = self._read(root)

    def copy(self) -> dict[int, Folder | File | Link]:
        """Return the model's nodes, to be changed."""
        return {
            node: Folder(dict(item.names)) if isinstance(item, Folder) else copy_of(item)
            for node, item in self.nodes.items()
        }

    def _new(self, item: Folder | File | Link) -> int:
        number = len(self.nodes)
        self.nodes[number] = item
        return number

    def _read(self, path: Path) -> int:
        if path.is_symlink():
            return self._new(Link(str(path.readlink())))
        if not path.is_dir():
            return self._new(File(path.read_bytes()))
        folder = Folder()
        number = self._new(folder)
        for name in sorted(os.listdir(path)):
            folder.names[name] = self._read(path / name)
        return number

    # --- reading strace's log ----------------------------------------------------------------

    def read(self, text: str, start: dict[int, Folder | File | Link]) -> None:
        """Take the calls in. `start`: a copy of the nodes, which is brought to the end state."""
        self._now = start
        for line in text.splitlines():
            match = _LINE.match(line)
            if match and not match[3].startswith("-"):
                self._call(match[1], match[2], int(match[3]))

    def _call(self, kind: str, text: str, result: int) -> None:
        strings = [_text(item) for item in _HEX.findall(text)]
        plain = [item.strip() for item in _HEX.sub("", text).split(",")]
        first = int(plain[0]) if plain[0].isdigit() else -1
        if kind in ("open", "openat"):
            self._opened(self._path(first, strings[0]), text, result)
        elif kind == "close":
            self._open.pop(first, None)
            self._names.pop(first, None)
        elif kind == "sync" or (kind == "syncfs" and first in self._open):
            self.ops.append(Sync(None, "everything"))
        elif kind in ("fsync", "fdatasync") and first in self._open:
            self.ops.append(Sync(self._open[first], self._names[first]))
        elif kind in ("write", "pwrite64", "ftruncate", "lseek"):
            self._wrote(kind, first, text, plain, result)
        elif kind in ("copy_file_range", "sendfile"):
            self._copied(kind, plain, result)
        elif kind in ("writev", "pwritev", "truncate", "fallocate", "splice", "creat", "mknodat"):
            assert first not in self._open, f"this model knows no {kind}"
        else:
            self._named(kind, text, strings)

    def _opened(self, path: str, text: str, fd: int) -> None:
        node = self._node(path)
        if "O_TMPFILE" in text or not self._inside(path):
            self._open.pop(fd, None)
            self._names.pop(fd, None)
            return
        if node is None:
            node = self._new(File())
            self._now[node] = File()
            self._change((*self._parent(path), None, node))
        elif "O_TRUNC" in text:
            self._data(Data(node, 0, size=0))
        self._open[fd], self._at[fd] = node, 0
        self._names[fd] = os.path.relpath(path, self.root)

    def _wrote(self, kind: str, fd: int, text: str, plain: list[str], result: int) -> None:
        if fd not in self._open:
            return
        if kind == "lseek":
            self._at[fd] = result
        elif kind == "ftruncate":
            self._data(Data(self._open[fd], 0, size=int(plain[1])))
        else:
            data = bytes.fromhex(_HEX.findall(text)[0].replace("\\x", ""))[:result]
            offset = int(plain[-1]) if kind == "pwrite64" else self._at[fd]
            self._data(Data(self._open[fd], offset, data))
            if kind == "write":
                self._at[fd] += result

    def _copied(self, kind: str, plain: list[str], result: int) -> None:
        source, target = (0, 2) if kind == "copy_file_range" else (1, 0)
        reads, writes = int(plain[source]), int(plain[target])
        if writes not in self._open:
            return
        item = self._now[self._open[reads]]
        assert isinstance(item, File)
        begin = self._at[reads]
        self._data(Data(self._open[writes], self._at[writes], item.data[begin : begin + result]))
        self._at[reads] += result
        self._at[writes] += result

    def _named(self, kind: str, text: str, strings: list[str]) -> None:
        fds = [int(item) for item in re.findall(r"(?:^|, )(\d+|-\d+)(?=, \")", text)]
        base = [*fds, -1, -1]
        if kind in ("symlink", "symlinkat"):
            path = self._path(base[0], strings[1])
            if self._inside(path):
                link = self._new(Link(strings[0]))
                self._now[link] = Link(strings[0])
                self._change((*self._parent(path), None, link))
            return
        paths = [self._path(base[number], path) for number, path in enumerate(strings)]
        if not self._inside(paths[0]):
            return
        if kind in ("mkdir", "mkdirat"):
            new = self._new(Folder())
            self._now[new] = Folder()
            self._change((*self._parent(paths[0]), None, new))
            return
        node = self._node(paths[0])
        if kind in ("rmdir", "unlink", "unlinkat"):
            self._change((*self._parent(paths[0]), node, None))
        elif kind in ("link", "linkat"):
            self._change((*self._parent(paths[1]), None, node))
        else:
            gone = (*self._parent(paths[0]), node, None)
            self._change(gone, (*self._parent(paths[1]), self._node(paths[1]), node))

    def _data(self, op: Data) -> None:
        self.ops.append(op)
        apply(op, self._now)

    def _change(self, *changes: tuple[int, str, int | None, int | None]) -> None:
        op = Names(changes)
        self.ops.append(op)
        apply(op, self._now)

    # --- paths -------------------------------------------------------------------------------

    def _path(self, folder: int, path: str) -> str:
        through = _THROUGH.match(path)
        if through and int(through[1]) in self._names:
            folder, path = int(through[1]), path[through.end() :].lstrip("/") or "."
        if not path.startswith("/"):
            assert folder in self._names, f"a path from a folder that is not known: {path}"
            path = f"{self.root}/{self._names[folder]}/{path}"
        return os.path.normpath(path)

    def _inside(self, path: str) -> bool:
        return path.startswith(f"{self.root}/") or path == str(self.root)

    def _node(self, path: str) -> int | None:
        if not self._inside(path):
            return None
        node: int | None = self.top
        for part in path.removeprefix(str(self.root)).split("/"):
            item = self._now[node] if node is not None else None
            if part:
                node = item.names.get(part) if isinstance(item, Folder) else None
        return node

    def _parent(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        node = self._node(above)
        assert node is not None, f"{above} is not known"
        return node, name


def copy_of(item: File | Link) -> File | Link:
    """Return the same again."""
    return File(item.data) if isinstance(item, File) else Link(item.target)


def apply(op: Data | Names, nodes: dict[int, Folder | File | Link]) -> None:
    """Do it to the nodes; a name that names something else by now stays."""
    if isinstance(op, Data):
        item = nodes[op.node]
        assert isinstance(item, File)
        if op.size is not None:
            item.data = item.data[: op.size].ljust(op.size, b"\0")
        else:
            end = op.offset + len(op.data)
            head = item.data[: op.offset].ljust(op.offset, b"\0")
            item.data = head + op.data + item.data[end:]
        return
    for folder, name, before, after in op.changes:
        names = nodes[folder]
        assert isinstance(names, Folder)
        if after is not None:
            names.names[name] = after
        elif names.names.get(name) == before:
            del names.names[name]


def write_out(nodes: dict[int, Folder | File | Link], node: int, path: Path) -> None:
    """Make the model real at `path`, which is not there."""
    item = nodes[node]
    if isinstance(item, Folder):
        path.mkdir(0o700)
        for name, inner in item.names.items():
            write_out(nodes, inner, path / name)
    elif isinstance(item, File):
        path.write_bytes(item.data)
    else:
        path.symlink_to(item.target)


def _text(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text.replace("\\x", "")))
