"""Ways to damage a small session, for the tests of checks and restores."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def flip(path: Path, at: int | None = None) -> None:
    """Change one byte of a file: at `at`, or in the middle."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 if at is None else at] ^= 0xFF
    path.write_bytes(raw)


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def drop(name: str) -> Callable[[Path], None]:
    """Return what removes a file."""
    return lambda live: (live / name).unlink()


def empty(name: str) -> Callable[[Path], None]:
    """Return what empties a file."""
    return lambda live: os.truncate(live / name, 0)


def tear(name: str) -> Callable[[Path], None]:
    """Return what cuts a file in half."""
    return lambda live: cut(live / name)


def overwrite_database(live: Path) -> None:
    """Overwrite all but the first page."""
    whole = (live / "store.db").read_bytes()
    (live / "store.db").write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))


def empty_folder(live: Path) -> None:
    """Leave an empty folder."""
    shutil.rmtree(live)
    live.mkdir()


DAMAGES = {
    "no creds": drop("creds.json"),
    "no database": drop("store.db"),
    "creds emptied": empty("creds.json"),
    "database emptied": empty("store.db"),
    "key emptied": empty("keys/one"),
    "creds torn": tear("creds.json"),
    "database torn": tear("store.db"),
    "database overwritten": overwrite_database,
    "creds are no JSON": lambda live: (live / "creds.json").write_text("null}"),
    "all gone": shutil.rmtree,
    "emptied folder": empty_folder,
}


def file_for_folder(live: Path) -> None:
    """Put a file where a folder was."""
    shutil.rmtree(live / "keys")
    (live / "keys").write_text("a file")


def folder_for_file(live: Path) -> None:
    """Put a folder where a file was."""
    (live / "creds.json").unlink()
    (live / "creds.json" / "deep").mkdir(parents=True)
    (live / "creds.json" / "deep" / "file").write_text("strange")


def link_for_folder(live: Path) -> None:
    """Put a link where a folder was."""
    shutil.rmtree(live / "keys")
    (live / "keys").symlink_to("elsewhere")


def link_for_file(live: Path) -> None:
    """Put a link where a file was."""
    (live / "creds.json").unlink()
    (live / "creds.json").symlink_to("store.db")


def other_target(live: Path) -> None:
    """Let a link lead elsewhere."""
    (live / "current").unlink()
    (live / "current").symlink_to("keys/two")


def file_for_link(live: Path) -> None:
    """Put a file where a link was."""
    (live / "current").unlink()
    (live / "current").write_text("no link")


def strangers(live: Path) -> None:
    """Add what no snapshot has."""
    (live / "a" / "b").mkdir(parents=True)
    (live / "a" / "b" / "c").write_text("unknown")
    (live / "keys" / "three").write_bytes(b"\0" * 9000)
    Path(os.fsdecode(os.fsencode(live) + b"/odd\xff")).write_text("odd")
    (live / "none").mkdir()


def journals(live: Path) -> None:
    """Tear the database, and leave journals beside it."""
    with (live / "store.db").open("r+b") as file:
        file.write(b"no database")
    for end in ("-wal", "-journal"):
        (live / f"store.db{end}").write_text(f"of another time {end}")


def all_of_it(live: Path) -> None:
    """Do it all at once."""
    for change in (file_for_folder, folder_for_file, other_target, strangers_outside):
        change(live)
    journals(live)


def strangers_outside(live: Path) -> None:
    """Add a folder that no snapshot has."""
    (live / "a" / "b").mkdir(parents=True)
    (live / "a" / "b" / "c").write_text("unknown")


CHANGES = {
    change.__name__: change
    for change in (
        *(file_for_folder, folder_for_file, link_for_folder, link_for_file, other_target),
        *(file_for_link, strangers, journals, all_of_it),
    )
}
