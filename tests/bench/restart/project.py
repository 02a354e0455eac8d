"""A bot's project in a scratch folder: its program, a session of 50 MB, what is saved in it."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench import clock
from tests.bench.ours import ID, ROOT, live_folder
from tests.bench.trees import Tree

SMALL_FILES = 598
DIRTY_FILES, DIRTY_ROWS = 12, 25
FIRST_VALUE = 1_000_000  # each has as many digits: the file's size never changes
MODULES = 200
_BOTS = Path(__file__).with_name("bots")
_CHUNKS, _SLOW_S = 10, 0.1

# What the realistic bot has beside its own modules, as its first imports.
LIBRARIES = """\
import sqlite3

import aiohttp
import cryptography.hazmat.primitives.asymmetric.ed25519
import cryptography.hazmat.primitives.ciphers.aead
import cryptography.x509
import pydantic
"""
_MODULE = '''\
"""A part of the bot."""

import dataclasses


@dataclasses.dataclass
class Message{n}:
    """What comes."""

    text: str
    sender: str = ""
    tries: int = {n}


class Handler{n}:
    """What answers it."""

    words = ("ping", "help", "echo", "{n}")

    def matches(self, message):
        return message.text.split(" ")[0] in self.words

    def answer(self, message):
        if not self.matches(message):
            return None
        return f"{{message.sender}}: {{message.text}}"
'''


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of bot. `heavy`: with the imports of a real one, else with nearly none."""

    name: str
    heavy: bool


LIGHT = Kind("light", heavy=False)
REALISTIC = Kind("realistic", heavy=True)


class Project:
    """The folder `root` with one bot that was never started. `python` runs it."""

    def __init__(
        self,
        root: Path,
        kind: Kind,
        python: Path,
        *,
        contract: bool = False,
        small_files: int = SMALL_FILES,
    ) -> None:
        self.root = root
        self.kind = kind
        self.python = python
        self.contract = contract
        self.app = root / "app"
        self.trace = root / "trace"
        self.log = root / "console.log"
        self.tree = Tree(live_folder(root), small_files, database=True)
        self.value = FIRST_VALUE
        self._saved = self.app / "value.py"
        self._make_program()
        self.tree.make()

    @property
    def command(self) -> list[str]:
        """What runs the bot, in `root`."""
        return [str(self.python), "app/main.py"]

    def dirty(self) -> None:
        """Change what a bot changes in its session in some minutes."""
        self.tree.change(DIRTY_FILES, DIRTY_ROWS)

    def save(self) -> int:
        """Save new code; return when it was all written (ns, monotonic)."""
        self.value += 1
        self._saved.write_text(_code(self.value))
        return time.monotonic_ns()

    def save_slowly(self) -> int:
        """Save new code as a slow editor does: in place, in ten parts over 100 ms.

        Whoever reads it too early finds nothing, or a file that compiles and has the old value.
        """
        old, self.value = self.value, self.value + 1
        parts = [_code(old), *["# a line\n"] * (_CHUNKS - 2), f"VALUE = {self.value}\n"]
        with self._saved.open("w") as file:
            for part in parts:
                file.write(part)
                file.flush()
                clock.wait(_SLOW_S / _CHUNKS)
        return time.monotonic_ns()

    def sources(self) -> list[Path]:
        """Return the files that are watched."""
        return sorted(self.app.rglob("*.py"))

    def configure(self, more: str) -> None:
        """Write our config; `more`: further keys of the bot."""
        (self.root / "config.toml").write_text(
            f'[bot.bench]\ncommand = ["{self.python}", "app/main.py"]\nsession = "{ID}"\n'
            f'watch = ["app"]\n{more}'
        )

    def _make_program(self) -> None:
        self.app.mkdir(parents=True)
        main = "contract.py" if self.contract else "unmodified.py"
        shutil.copyfile(_BOTS / main, self.app / "main.py")
        for name in ("stamps.py", "device.py"):
            shutil.copyfile(_BOTS / name, self.app / name)
        if self.contract:
            shutil.copyfile(ROOT / "bot" / "link.py", self.app / "link.py")
        self._saved.write_text(_code(self.value))
        names = [f"part_{number:03}" for number in range(MODULES if self.kind.heavy else 0)]
        if names:
            parts = self.app / "parts"
            parts.mkdir()
            (parts / "__init__.py").write_text("")
            for number, name in enumerate(names):
                (parts / f"{name}.py").write_text(_MODULE.format(n=number))
        imports = [LIBRARIES if names else "", *(f"from parts import {name}\n" for name in names)]
        code = "".join(imports) + f"\nWEIGHT = {len(names)}\n"
        (self.app / "load.py").write_text(f'"""What the bot imports."""\n\n{code}')


def _code(value: int) -> str:
    return f'"""Which code this is."""\n\nVALUE = {value}\n'
