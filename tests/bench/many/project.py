"""A project of many light bots: a folder each, sessions of a few small files, one config."""

import json
import shutil
import time
from pathlib import Path

from tests.bench.ours import ROOT
from tests.bench.trees import mixed

KEYS = 4
KEY_BYTES = 600
FIRST_VALUE = 1_000_000  # each has as many digits: the file's size never changes


class Project:
    """The folder `root`, with `count` bots that were never started."""

    def __init__(self, root: Path, count: int) -> None:
        self.root = root
        self.names = [f"bot{number:03d}" for number in range(count)]
        self.traces = root / "traces"
        self.config = root / "config.toml"
        self._value = FIRST_VALUE
        self.traces.mkdir(parents=True)
        for name in self.names:
            self._make_bot(name)
            self._make_session(name)
        self._configure()

    def save(self, *names: str) -> tuple[int, dict[str, int]]:
        """Save new code for these bots, in place.

        Returns the code's value, and for each bot when its file was written (ns, monotonic).
        """
        self._value += 1
        saved_ns: dict[str, int] = {}
        for name in names:
            (self.root / "bots" / name / "value.py").write_text(_code(self._value))
            saved_ns[name] = time.monotonic_ns()
        return self._value, saved_ns

    def _make_bot(self, name: str) -> None:
        folder = self.root / "bots" / name
        link = folder / "bot"  # a package of that name, as where it comes from
        link.mkdir(parents=True)
        for file in ("__init__.py", "link.py"):
            shutil.copyfile(ROOT / "bot" / file, link / file)
        shutil.copyfile(Path(__file__).with_name("light_bot.py"), folder / "main.py")
        (folder / "value.py").write_text(_code(FIRST_VALUE))

    def _make_session(self, name: str) -> None:
        folder = self.root / "sessions" / f"session-{name}"
        folder.mkdir(mode=0o700, parents=True)
        (folder / "creds.json").write_text(json.dumps({"device": f"{name}:1"}))
        (folder / "state.json").write_text(json.dumps({"seen": 0}))
        for number in range(KEYS):
            (folder / f"key-{number}").write_bytes(mixed(f"{name} {number}", KEY_BYTES))

    def _configure(self) -> None:
        """Write the config. No warm spares: two hundred would weigh more than all that is asked."""
        self.config.write_text(
            "\n".join(
                f'[bot.{name}]\ncommand = ["python", "bots/{name}/main.py"]\n'
                f'session = "{name}"\nwatch = ["bots/{name}"]\nstandby = "bot"\n'
                for name in self.names
            )
        )


def _code(value: int) -> str:
    return f'"""Which code this is."""\n\nVALUE = {value}\n'
