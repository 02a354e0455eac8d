"""The bots' output in real files: whole, in order, private, put aside in time."""

import asyncio
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import LogsConfig
from supervisor.service.logs import files as logfiles
from supervisor.service.logs.files import LogFiles, tail
from tests.faults.mounts import mounted

Told = list[tuple[str | None, str, dict[str, Any]]]
USUAL: dict[str, Any] = {"rotate_mb": 1, "rotate_hours": 24, "keep_files": 3, "mask": ()}


def written(folder: Path, story: Callable[[LogFiles], None], **settings: Any) -> Told:
    """Let a story write; return what was told."""
    told: Told = []

    async def main() -> None:
        files = LogFiles(LogsConfig(folder=folder, **(USUAL | settings)), lambda *a: told.append(a))
        await asyncio.to_thread(lambda: None)
        story(files)
        files.close()
        await asyncio.to_thread(lambda: None)

    asyncio.run(main())
    return told


def numbers(folder: Path, bot: str = "a") -> list[int]:
    """Return the numbers of all lines in a bot's files, the oldest first."""
    return [int(line.split(" ")[2]) for line in tail(folder, bot, 10_000_000)]


def test_all_lines_are_there_in_order_over_many_files(tmp_path: Path) -> None:
    """Each exactly once, and each with its time and stream."""

    def story(files: LogFiles) -> None:
        for number in range(50_000):
            files.put("a", "stderr" if number % 2 else "stdout", f"{number} {'x' * 100}")
            if number % 10_000 == 0:
                assert files.flush(10)

    assert written(tmp_path / "logs", story, keep_files=100) == []
    assert numbers(tmp_path / "logs") == list(range(50_000))
    assert len(list((tmp_path / "logs").iterdir())) > 3
    for path in (tmp_path / "logs").iterdir():
        assert path.stat().st_size <= 1 << 20
        assert path.read_bytes().endswith(b"x\n")
    time, stream, _ = tail(tmp_path / "logs", "a", 1)[0].split(" ", 2)
    assert time.endswith("Z")
    assert stream == "err"


def test_a_bar_of_progress_is_one_line(tmp_path: Path) -> None:
    """A carriage return draws a line over; it does not end it."""
    written(tmp_path, lambda files: files.put("a", "stdout", "10 %\r20 %"))
    (line,) = tail(tmp_path, "a", 10)
    assert line.endswith("out 10 %\r20 %")


def test_so_many_files_stay(tmp_path: Path) -> None:
    """Beside the one that is written, and the newest."""

    def story(files: LogFiles) -> None:
        for number in range(50_000):
            files.put("a", "stdout", f"{number} {'x' * 100}")
            if number % 5_000 == 0:
                assert files.flush(10)

    written(tmp_path, story, keep_files=2)
    assert len(list(tmp_path.iterdir())) == 3
    assert numbers(tmp_path)[-1] == 49_999


def test_an_old_file_is_put_aside(tmp_path: Path) -> None:
    """By the time of its first line: also if another supervisor wrote that."""
    (tmp_path / "a.log").write_text("2020-01-01T00:00:00.000Z out 0 old\n")
    written(tmp_path, lambda files: files.put("a", "stdout", "1 new"))
    assert len(list(tmp_path.iterdir())) == 2
    assert numbers(tmp_path) == [0, 1]
    written(tmp_path, lambda files: files.put("a", "stdout", "2 new"))
    assert len(list(tmp_path.iterdir())) == 2


def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        written(tmp_path / "logs", lambda files: files.put("a", "stdout", "1"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "logs" / "a.log").stat().st_mode) == 0o600


def test_a_folder_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """Somebody cleans up while the bots run."""

    def story(files: LogFiles) -> None:
        files.put("a", "stdout", "1")
        assert files.flush(10)
        (tmp_path / "logs" / "a.log").unlink()
        (tmp_path / "logs").rmdir()
        files.put("a", "stdout", "2")

    assert written(tmp_path / "logs", story) == []
    assert numbers(tmp_path / "logs") == [2]


def test_a_file_that_is_replaced_is_left(tmp_path: Path) -> None:
    """As logrotate does: what it has moved it will compress and remove."""

    def story(files: LogFiles) -> None:
        files.put("a", "stdout", "1")
        assert files.flush(10)
        (tmp_path / "a.log").rename(tmp_path / "moved")
        (tmp_path / "a.log").touch(0o600)
        files.put("a", "stdout", "2")

    assert written(tmp_path, story) == []
    assert numbers(tmp_path) == [2]
    assert (tmp_path / "moved").read_text().endswith(" out 1\n")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # what Python still holds can't be written
)
def test_a_full_disk_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And written to again once there is room; what was cut begins no other line."""
    monkeypatch.setattr(logfiles, "AGAIN_S", 0.0)

    with mounted("tmpfs", tmp_path) as root:
        ballast = root / "ballast"

        def story(files: LogFiles) -> None:
            files.put("a", "stdout", "1")
            assert files.flush(10)
            with ballast.open("wb") as file, suppress(OSError):
                while True:
                    os.write(file.fileno(), bytes(1 << 16))
            for _ in range(20):
                files.put("a", "stdout", "2 " + "x" * 5000)
                assert files.flush(10)
            ballast.unlink()
            files.put("a", "stdout", "3")

        told = written(root / "logs", story)
        assert [(bot, event) for bot, event, _ in told] == [("a", "log_failed")]
        assert "No space left on device" in told[0][2]["why"]
        assert tail(root / "logs", "a", 1)[0].split(" ")[1:] == ["out", "3"]


def test_what_does_not_fit_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is slower than the bots: the rest is left out, never kept in memory."""
    monkeypatch.setattr(logfiles, "ROOM_BYTES", 1000)

    def story(files: LogFiles) -> None:
        for number in range(200):
            files.put("a", "stdout", f"{number} {'x' * 50}")
        assert files._bytes <= 1000
        assert files.flush(10)
        files.put("a", "stdout", "999")

    told = written(tmp_path, story)
    assert any("could not be written in time" in fields["why"] for _, _, fields in told)
    found = numbers(tmp_path)
    assert found == sorted(found)
    assert found[-1] == 999


def test_without_a_folder_nothing_is_done(tmp_path: Path) -> None:
    """Not even a thread is started; a reload may give it one."""

    async def main() -> None:
        files = LogFiles(LogsConfig(folder=None, **USUAL), lambda *_: None)
        files.put("a", "stdout", "x")
        assert files._thread is None
        files.configure(LogsConfig(folder=tmp_path, **USUAL))
        files.put("a", "stdout", "1")
        files.close()

    asyncio.run(main())
    assert numbers(tmp_path) == [1]


def test_a_reload_loses_no_line(tmp_path: Path) -> None:
    """What came under the old settings is written by them, also where the new ones want no file."""
    here = LogsConfig(folder=tmp_path / "here", **USUAL)
    there = LogsConfig(folder=tmp_path / "there", **USUAL)

    def story(files: LogFiles) -> None:
        for number, config in enumerate((there, LogsConfig(folder=None, **USUAL), here)):
            files.put("a", "stdout", f"{number}")
            files.configure(config)
        files.put("a", "stdout", "3")

    assert written(tmp_path / "here", story) == []
    assert numbers(tmp_path / "here") == [0, 3]
    assert numbers(tmp_path / "there") == [1]


@pytest.mark.parametrize("name", ["{b}", "{time} }", "[x]* caf\udce9"])
def test_a_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    """Its name is no pattern: of what is put aside there so much stays as elsewhere, too."""

    def story(files: LogFiles) -> None:
        for number in range(20_000):
            files.put("a", "stdout", f"{number} {'x' * 100}")
            if number % 5_000 == 0:
                assert files.flush(10)

    assert written(tmp_path / name, story, keep_files=1) == []
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list((tmp_path / name).iterdir())) == 2
    assert numbers(tmp_path / name)[-1] == 19_999


def test_what_goes_wrong_in_one_file_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: it is told, and the next try may do."""
    opened = logfiles._File._open

    def fails(self: logfiles._File) -> None:
        if self._bot == "a":
            raise KeyError
        opened(self)

    monkeypatch.setattr(logfiles._File, "_open", fails)

    def story(files: LogFiles) -> None:
        for bot in ("a", "b"):
            files.put(bot, "stdout", "1")

    told = written(tmp_path, story)
    assert [(bot, fields["why"]) for bot, _, fields in told] == [
        ("a", f"{tmp_path}/a.log: KeyError")
    ]
    assert numbers(tmp_path, "b") == [1]
