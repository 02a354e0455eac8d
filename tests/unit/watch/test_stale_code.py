"""After a preflight the next start runs the code that was saved, and compiles it no second time."""

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from supervisor.watch import bytecode
from supervisor.watch.compiling import bytecode_path, is_checked
from tests.unit.watch.startkit import passed, save, start

SAVES = 50

KINDS = {
    "plain.py": b"",
    "pack/__init__.py": b"from pack import inner\n",
    "pack/inner.py": b"",
    "space/part.py": b"",  # a namespace package
    "linked.py": b"",  # a link to a file elsewhere
    "shared/within.py": b"",  # a package behind a link to a folder
    "latin.py": b"# coding: latin-1\nNAME = '\xe9'\n",
}
SAYS = """
import latin, linked, pack, plain, shared.within, space.part
print(*(module.VALUE for module in (
    plain, pack, pack.inner, space.part, linked, shared.within, latin)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the bytecode, not the user's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return bytecode.prefix()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with every kind of import, whose own folder is known by a link to it."""
    real, elsewhere = tmp_path / "disk" / "project", tmp_path / "elsewhere"
    for folder in (real / "pack", real / "space", elsewhere):
        folder.mkdir(parents=True)
    (real / "linked.py").symlink_to(elsewhere / "of_another_name.py")
    (real / "shared").symlink_to(elsewhere)
    (tmp_path / "project").symlink_to(real)
    (real / "main.py").write_text(SAYS)
    return tmp_path / "project"


@pytest.mark.parametrize("options", [(), ("-O",)], ids=["plain", "-O"])
def test_of_fifty_saves_within_a_second_none_runs_old_code(
    project: Path, folder: Path, options: tuple[str, ...]
) -> None:
    """However a module is found; what the preflight compiled is what the next start runs."""
    for n in range(SAVES):
        for name, before in KINDS.items():
            save(project / name, n, before)
        assert passed(project, folder, KINDS)
        assert start(project, folder, *options) == " ".join([f"{n + 100}"] * len(KINDS))
    suffix = ".opt-1" if options else ""
    for name in KINDS:
        path = os.path.realpath(project) + "/" + name
        assert is_checked(path, bytecode_path(path, str(folder), suffix)), name


def test_a_start_compiles_nothing_that_the_preflight_compiled(project: Path, folder: Path) -> None:
    """Neither wrong for Python nor in the wrong place: it is found, and left as it is."""
    for name, before in KINDS.items():
        save(project / name, 1, before)
    assert passed(project, folder, KINDS)
    made = {path: path.stat().st_ino for path in folder.rglob("*.pyc")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert start(project, folder)
    known = {path: path.stat().st_ino for path in folder.rglob("*.pyc") if path in made}
    assert known == made, "Python wrote it anew"
    new = {path for path in folder.rglob("*.pyc") if path not in made}
    assert not [path for path in new if "project" in str(path)]


def test_where_bytecode_cant_be_kept_no_old_code_runs(tmp_path: Path) -> None:
    """Where there is no place for it, Python is told of none, and compiles at each start."""
    (tmp_path / "main.py").write_text("import module; print(module.VALUE)\n")
    for n in range(3):
        save(tmp_path / "module.py", n)
        assert passed(tmp_path, bytecode.NOWHERE, ["module.py"])
        assert start(tmp_path, bytecode.NOWHERE) == f"{n + 100}"


def test_a_source_that_goes_or_changes_meanwhile_is_never_run_as_it_was(
    tmp_path: Path, folder: Path
) -> None:
    """What was compiled is compared with what is there when it is imported."""
    source = tmp_path / "module.py"
    (tmp_path / "main.py").write_text(
        "try:\n    import module\n    print(module.VALUE)\nexcept ImportError:\n    print('none')\n"
    )
    save(source, 1)
    assert passed(tmp_path, folder, ["module.py"])
    source.unlink()
    assert passed(tmp_path, folder, ["module.py"])
    assert start(tmp_path, folder) == "none"
    save(source, 2)  # after the look at what changed
    assert start(tmp_path, folder) == "102"


def test_a_preflight_and_a_refresh_of_the_same_files_do_no_harm_to_each_other(
    tmp_path: Path, folder: Path
) -> None:
    """From two threads, while the files are being saved: whole bytecode, and the newest code."""
    names = [f"module{n}.py" for n in range(10)]
    files = [tmp_path / name for name in names]
    (tmp_path / "main.py").write_text(
        f"print({{__import__(f'module{{n}}').VALUE for n in range({len(names)})}})\n"
    )
    over = threading.Event()

    def refreshing() -> None:
        while not over.is_set():
            bytecode.refresh(files, folder, sys.executable)

    threads = [threading.Thread(target=refreshing) for _ in range(2)]
    for file in files:
        save(file, 0)
    for thread in threads:
        thread.start()
    try:
        for n in range(SAVES // 2):
            for file in files:
                save(file, n)
            assert passed(tmp_path, folder, names)
        assert start(tmp_path, folder) == f"{{{SAVES // 2 + 99}}}"
    finally:
        over.set()
        for thread in threads:
            thread.join(30)
    assert [path for path in folder.rglob("*") if path.is_file() and ".pyc." in path.name] == []
