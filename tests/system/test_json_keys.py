"""The keys that docs/commands.md names are those that the commands print, no more and no less.

Those of commands that need a supervisor are looked at where one runs: test_commands.py.
"""

import json
from typing import Any

import pytest

from supervisor.cli.main import execute
from tests.commandline import differs
from tests.system.harness import PHONE, Folder


def test_the_keys_of_a_session_are_those_of_the_page(
    linked: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a session with snapshots, one of which came back, and what was before is put aside."""
    config = str(linked.root / "config.toml")

    def asked(*words: str) -> Any:
        code = execute(["--config", config, *words, "--json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        return json.loads(told.out)

    oldest = str(asked("session", "snapshots")[0]["seq"])
    restored = asked("session", "restore", "--snapshot", oldest, "--yes")
    kept = asked("session", "restore")
    assert (kept["action"], restored["action"]) == ("kept", "restored")
    restored["snapshot"] = kept["snapshot"]  # its keys are those of `session info`
    assert not differs("session restore", kept, restored)
    backup = asked("session", "backup")
    info = asked("session", "info", PHONE)
    assert info["quarantine"]
    snapshots = asked("session", "snapshots", PHONE)
    assert not differs("session info", info, {**info, "snapshots": [backup, *snapshots]})
    (one,) = asked("session", "list")
    assert one.keys() == info.keys() - {"snapshots"}
    check = asked("session", "check", PHONE)
    assert check["quarantine"]
    assert not differs("session check", check)
    assert not differs("session prune", asked("session", "prune"))
    assert not differs("session clear", asked("session", "clear", "--yes"))
