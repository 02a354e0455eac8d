"""Damage one file of a project after the other, and use the sessions. Run in a box, by its test.

Its arguments: the box's folder, and which kinds of files. It ends with 0 where each use gave an
answer or an error in words, nothing outside of the session was changed, and nothing was lost.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.errors import SupervisorError
from supervisor.session.audit import carried_out
from supervisor.session.manager import SessionManager
from supervisor.session.restoring.swap import intent_path
from tests.fuzz.fuzzkit import LONG, bent, cases, content, open_files, readable
from tests.unit.session.sessionkit import ID, Place, write_key

_OTHER = "other"
_NTH = 10 if LONG else 1  # to work takes long: of thousands, one in so many
_STEPS = {
    "drop": ["keys/two"],
    "folders": ["more"],
    "put": ["keys/one"],
    "modes": [["keys", 0o700]],
    "parts": [],
}


class Project:
    """A project with a past, which is copied for each case. `here`: what must never be touched."""

    def __init__(self, box: Path) -> None:
        self.past = Place(box / "past")
        self.case = Place(box / "case")
        self.here = box / "here"
        (self.here / "precious").write_text("precious")
        live = self.past.live
        (live / "keys").mkdir(parents=True)
        (live / "auth.json").write_text(json.dumps({"key": "aa"}))
        (live / "keys" / "one").write_bytes(b"first key")
        (live / "keys" / "two").write_bytes(b"second key")
        other = self.past.root / "sessions" / f"session-{_OTHER}"
        other.mkdir()
        (other / "precious").write_text("precious")
        manager = self.past.manager()
        manager.note_linked(ID, "1:aa")
        manager.backup(ID)
        write_key(live, "lived")
        manager.backup(ID)
        (live / "auth.json").write_text("{")
        assert manager.restore(ID).quarantined
        write_key(live, "lived on")

    def anew(self) -> None:
        """Begin again with a whole project."""
        shutil.rmtree(self.case.root, ignore_errors=True)
        shutil.copytree(self.past.root, self.case.root, symlinks=True)

    def holds(self) -> set[str]:
        """Return the hashes of all plain files, and of what the snapshots that are whole hold."""
        found = {digest for _path, digest in files_of(self.case.root)}
        store = self.case.manager().store
        try:
            listing = store.listing(ID)
        except SupervisorError:
            return found
        with store.reader() as reader:
            for manifest in listing.manifests:
                try:
                    blobs = list(manifest.blobs())
                    for blob in blobs:
                        reader.read(blob)
                except SupervisorError:
                    continue
                found |= {blob.hash for blob in blobs}
        return found

    def outside(self) -> list[tuple[str, str]]:
        """Return all that no use of this session may change."""
        other = self.case.root / "sessions" / f"session-{_OTHER}"
        return [*files_of(self.here), *files_of(other)]


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each plain file below a folder, with the hash of what is in it."""
    for parent, _folders, names in os.walk(folder):
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield str(path), blake3(path.read_bytes()).hexdigest()


def used(act: Callable[[], Any]) -> Any:
    """Do it; an error is one in words: what, and for a file of the machine's which."""
    try:
        return act()
    except SupervisorError as error:
        readable(error.message)
    except OSError as error:
        if not error.strerror:
            raise
    return None


def look(manager: SessionManager) -> None:
    """Ask everything that changes nothing."""
    used(manager.ids)
    used(lambda: manager.record(ID))
    used(lambda: json.dumps(manager.info(ID)))
    used(lambda: manager.snapshots(ID))
    used(lambda: manager.check(ID))


def work(manager: SessionManager) -> None:
    """Do what a start, a stop and the daily work do."""
    used(lambda: manager.restore(ID))
    used(lambda: manager.note_qr(ID))
    used(lambda: manager.save_state(ID, seen=True))
    used(lambda: manager.backup(ID))
    used(lambda: manager.cleanup_old_backups(ID))
    used(lambda: carried_out(manager.audit(ID)).as_json())
    used(lambda: manager.drill(ID))
    used(lambda: manager.record(ID))


def run(project: Project, path: Path, data: bytes, *, works: bool) -> None:
    """Put `data` in a file's place and use the session."""
    project.anew()
    path.write_bytes(data)
    before, outside, opened = project.holds(), project.outside(), open_files()
    live = {digest for _path, digest in files_of(project.case.live)}
    everything = sorted(files_of(project.case.root))
    unread = path == project.case.state and not whole(project.case.manager())
    look(project.case.manager())
    assert sorted(files_of(project.case.root)) == everything, "a look has changed something"
    if works:
        work(project.case.manager(owned=True))
        look(project.case.manager())
    assert project.outside() == outside
    after = project.holds()
    assert live <= after, "what was live is lost"
    assert before - {blake3(data).hexdigest()} <= after | _rewritten(everything), "a copy is lost"
    assert not unread or blake3(data).hexdigest() in after, "what could not be read is lost"
    assert path.exists() or "intent" in path.name, "what was damaged is removed"
    assert open_files() == opened


def whole(manager: SessionManager) -> bool:
    """Return whether the state file can be read as what it should be."""
    try:
        return manager._state.whole()
    except SupervisorError:
        return False


def _rewritten(files: list[tuple[str, str]]) -> set[str]:
    """Return what may have been rewritten with other fields: manifests, records, locks."""
    return {digest for path, digest in files if not path.endswith(".pack")}


def damage(project: Project, kind: str) -> None:
    """Damage files of one kind."""
    case, past = project.case, project.past
    targets = {
        "state": [past.state],
        "manifest": [past.store / name for name in past.manifests()]
        + sorted((past.store / "quarantine").glob("*.json")),
        "pack": sorted((past.store / "packs").iterdir()),
        "live": [past.live / "auth.json"],
    }
    if kind == "intent":
        files = [(intent_path(case.store, ID), data) for data in intents(project)]
    else:
        files = [(case.root / p.relative_to(past.root), p.read_bytes()) for p in targets[kind]]
    assert files

    def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
        return bent(whole) if kind == "pack" else content(whole)

    @cases(4)
    @given(
        st.sampled_from(files).flatmap(lambda f: st.tuples(st.just(f[0]), damaged(f[1]))),
        st.integers(0, _NTH - 1),
    )
    def use(drawn: tuple[Path, bytes], nth: int) -> None:
        run(project, *drawn, works=nth == _NTH - 1)

    use()


def intents(project: Project) -> list[bytes]:
    """Return right ones of each phase: what is drawn of them leads anywhere."""
    live, store = project.case.live, project.case.store
    right: dict[str, Any] = {
        "op": "restore",
        "token": "t",
        "id": ID,
        "live": str(live),
        "quarantine": str(store / "quarantine" / f"session-{ID}.20261124T220000Z.e1.a"),
        "new": str(live.with_name(f".session-{ID}.new")),
        "epoch": 1,
        "snapshot": 1,
        "why": "asked",
    }
    phases: list[dict[str, Any]] = [{"phase": "out"}, {"phase": "in"}]
    phases.append({"phase": "place", "steps": _STEPS})
    return [json.dumps(right | phase).encode() for phase in phases]


def main(box: Path, kinds: Sequence[str]) -> None:
    """Damage files of each kind."""
    project = Project(box)
    for kind in kinds:
        damage(project, kind)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
