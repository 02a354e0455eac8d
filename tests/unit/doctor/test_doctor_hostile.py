"""Whatever lies in the project's places: each check has an answer, and none fails."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.doctor.kit import Project


def _file_instead(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.write_bytes(b"\xff\x00")


def _folder_instead(path: Path) -> None:
    _gone(path)
    path.mkdir()


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _pipe_instead(path: Path) -> None:
    _gone(path)
    os.mkfifo(path)


def _round_and_round(path: Path) -> None:
    _gone(path)
    path.symlink_to(path.name)


def _odd_names(path: Path) -> None:
    _gone(path)
    path.mkdir()
    for name in (b"\xff\xfe.json", b"a\nb", b"\x1b[2J", b"creds.json"):
        (path / os.fsdecode(name)).mkdir()


PLACES = ("sessions/session-971505760056",)
MORE = (
    ".session-cache",
    "sessions",
    "sessions/session-971505760056/creds.json",
    "sessions/.session-971505760056.lock",
    ".session-cache/packs",
    ".session-cache/.events.jsonl",
    "session-state.json",
    "bot.py",
    "package.json",
    ".git",
    ".venv",
)
HARM = (_file_instead, _folder_instead, _gone, _pipe_instead, _round_and_round, _odd_names)


@pytest.mark.parametrize(
    "place", [*PLACES, *(pytest.param(place, marks=pytest.mark.long) for place in MORE)]
)
def test_no_check_fails(bare: Project, linked_once: Path, place: str) -> None:
    """Each place is in turn a file, a folder, a pipe, a link to itself, full of odd names, gone."""
    for harm in HARM:
        shutil.rmtree(bare.root)
        shutil.copytree(linked_once, bare.root)
        _harm(bare.root / place, harm)
        for found in bare.asked().findings:
            told = f"{harm.__name__}: {found.check}: {found.seen}"
            assert "this check failed" not in found.seen, told
            assert "no answer" not in found.seen, told


def test_a_journal_of_nonsense(project: Project) -> None:
    """What is no record of ours, or was torn, says nothing and ends nothing."""
    kinds = "spawned pairing linked verified killed stopping failed late changed snapshot_failed"
    kinds += " supervisor_started watch_degraded epoch_closed backoff offline"
    odd: tuple[object, ...] = (None, [], {}, 7, "x", [[1]], {"t": 1})
    lines = [
        {"t": t, "bot": bot, "event": kind, "generation": value, "paths": value, "why": value}
        for kind in kinds.split()
        for value in odd
        for t, bot in (("2026-11-29T00:00:00Z", "echo"), ("never", "echo"), (3, None))
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (project.store / ".events.jsonl").write_text(f'{text}\n{{"torn\n[1]\n')
    for found in project.asked().findings:
        assert "this check failed" not in found.seen, found


def _harm(path: Path, harm: Callable[[Path], None]) -> None:
    if not path.exists():
        path.write_bytes(b"")
    harm(path)
