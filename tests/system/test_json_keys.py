"""The keys that docs/commands.md names are those that the commands print, no more and no less."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from supervisor.cli.main import execute
from tests.commandline import PAGE
from tests.markdown import code, rows, section
from tests.system.harness import PHONE, Folder, running


def documented(command: str) -> set[str]:
    """Return the keys that the page has for a command."""
    text = section(PAGE, f"### JSON of `{command}`")
    return {code(row[0])[0] for row in rows(text)}


def keys(value: Any, above: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the path of each leaf, and whether it could have more below it: null, or empty."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            name = "NAME" if above in ("bots", "pids") else key
            yield from keys(inner, f"{above}.{name}" if above else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from keys(inner, f"{above}[]")
    else:
        yield above, value is None or value in ([], {})


def differs(command: str, *values: Any) -> list[str]:
    """Return the keys that only the page has, or only what was printed."""
    page = documented(command)
    found = {path: bare for value in values for path, bare in keys(value)}
    parents = {path for path, bare in found.items() if bare}
    unseen = {
        key
        for key in page - set(found)
        if not any(key.startswith((f"{parent}.", f"{parent}[]")) for parent in parents)
    }
    new = {
        path
        for path in set(found) - page
        if not (path in parents and any(key.startswith((f"{path}.", f"{path}[")) for key in page))
    }
    return sorted(unseen | new)


def test_the_pages_keys_are_what_the_commands_print(
    linked: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a bot that runs, with a spare, a snapshot that came back and one that was put aside."""
    config = str(linked.root / "config.toml")

    def printed(*words: str) -> str:
        code = execute(["--config", config, *words, "--json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        return told.out

    def asked(*words: str) -> Any:
        return json.loads(printed(*words))

    oldest = str(asked("session", "snapshots")[0]["seq"])
    restored = asked("session", "restore", "--snapshot", oldest, "--yes")
    kept = asked("session", "restore")
    assert (kept["action"], restored["action"]) == ("kept", "restored")
    restored["snapshot"] = kept["snapshot"]  # its keys are those of `session info`
    assert not differs("session restore", kept, restored)
    with running(linked) as supervisor:
        supervisor.restarted(0)
        backup = asked("session", "backup")
        info = asked("session", "info", PHONE)
        assert info["quarantine"]
        assert not differs("session info", info)
        snapshots = asked("session", "snapshots", PHONE)
        assert not differs("session info", {**info, "snapshots": [backup, *snapshots]})
        (one,) = asked("session", "list")
        assert one.keys() == info.keys() - {"snapshots"}
        check = asked("session", "check", PHONE)
        assert check["quarantine"]
        assert not differs("session check", check)
        assert not differs("session prune", asked("session", "prune"))
        assert not differs("reload", asked("reload"))
        assert not differs("logs", json.loads(printed("logs", "-n", "1").splitlines()[0]))
        assert set(asked("pause")) == set(asked("resume")) == {"echo"}
        assert set(asked("link")) == {"linked"}
        supervisor.wait("spare_ready")
        assert not differs("status", asked("status"))
    assert not differs("session clear", asked("session", "clear", "--yes"))
