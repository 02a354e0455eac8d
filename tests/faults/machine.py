"""A session's life as a state machine, with a plain model beside it. A program of its own.

`python -m tests.faults.machine --lives N --steps M`: it ends with hypothesis's report on stderr
where a promise breaks (hypothesis, "Stateful tests"). A program, since it forks.

The model knows what each snapshot held when it was called good, what was damaged by the machine
itself, and which link each belongs to. All that the store may do is compared with it.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from supervisor.core.errors import SupervisorError
from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from supervisor.session.model import DamagedBlob, NothingToRestore
from tests.faults.invariants import quarantined
from tests.faults.scenarios import exported, without_validator
from tests.faults.shapes import Tree
from tests.unit.session.amongkit import AmongPlace, neighbours, settle_in
from tests.unit.session.crashpoints import crashed
from tests.unit.session.damagekit import flip
from tests.unit.session.sessionkit import ID, Place, fill

KEYS = st.sampled_from(["one", "two", "three", "four"])
JUMPS_S = st.sampled_from([-400 * 86_400.0, -3600.0, 3600.0, 8 * 86_400.0, 40 * 86_400.0])


class Life(RuleBasedStateMachine):
    """One session and its store."""

    kind: type[Place] = Place

    def __init__(self) -> None:
        super().__init__()
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only for speed
        self.place = self.kind(Path(tempfile.mkdtemp(prefix="life-", dir=base)))
        # So few that what must always stay is seen to.
        self.keep = Keep(last=1, hourly=1, daily=0)
        # What each snapshot held, which of them are good, and of which link they are.
        self.taken: dict[str, Tree] = {}
        self.good: dict[str, Tree] = {}
        self.link_of: dict[str, int] = {}
        # Packs and snapshots that this machine itself has damaged.
        self.spoilt: set[str] = set()
        self.link = 0
        self.linked = False
        self.device = 1

    def teardown(self) -> None:
        """Remove the project."""
        shutil.rmtree(self.place.root)

    def manager(self) -> SessionManager:
        """Return a new manager, as another process would make one."""
        return self.place.manager(keep=self.keep)

    # --- what a bot does -----------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """A first link."""
        self._linked()

    def _linked(self) -> None:
        self.place.lose()
        fill(self.place.live, self.device, rows=5)
        self.manager().note_linked(ID, f"{self.device}:{'aa' if self.device == 1 else 'bb'}")
        self.link += 1
        self.linked = True

    @rule(key=KEYS, size=st.sampled_from([1, 500, 140_000]))
    @precondition(lambda self: self._alive())
    def write(self, key: str, size: int) -> None:
        """The bot writes a file."""
        (self.place.live / "keys" / key).write_bytes(os.urandom(size))

    @rule(key=KEYS)
    @precondition(lambda self: self._alive())
    def patch(self, key: str) -> None:
        """The bot writes a few bytes within a file."""
        path = self.place.live / "keys" / key
        if path.exists():
            with path.open("r+b") as file:
                file.seek(path.stat().st_size // 2)
                file.write(os.urandom(40))

    def _alive(self) -> bool:
        return (self.place.live / "keys").is_dir()

    # --- what is done to its session -----------------------------------------------------

    @rule()
    @precondition(lambda self: self.linked)
    def backup(self) -> None:
        """A snapshot that is called good is taken at its word from now on."""
        live = self._live()
        try:
            taken = self.manager().backup(ID)
        except SupervisorError as error:
            assert not live, error.message  # noqa: PT017 - either end may be right
            return
        assert self._live() == live
        self._note(live)
        if taken.verdict == "good" and taken.id not in self.spoilt:
            assert self.good[taken.id] == live

    def _note(self, live: Tree) -> None:
        """What is listed for the first time was taken of `live`; some is good only later."""
        for snapshot in self.manager().snapshots(ID):
            held = self.taken.setdefault(snapshot.id, live)
            self.link_of.setdefault(snapshot.id, self.link)
            if snapshot.verdict == "good":
                self.good.setdefault(snapshot.id, held)
        if self._rotten():  # what is stored already is not read again for a snapshot
            self._ask_which_are_whole()

    def _rotten(self) -> bool:
        return any(name.endswith(".pack") for name in self.spoilt)

    @rule(keys=st.lists(KEYS, min_size=2, max_size=4))
    @precondition(lambda self: self.linked and self._alive())
    def a_day(self, keys: list[str]) -> None:
        """The bot works, and snapshots are taken, for a while."""
        for key in keys:
            self.write(key, 700)
            self.backup()

    @rule()
    def restore(self) -> None:
        """Whole again from the newest good one of this link, or not at all, and said."""
        live = self._live()
        try:
            done = self.manager().restore(ID)
        except SupervisorError as error:
            # NothingToRestore, or what may be put back and is waited for.
            assert self._live() == live
            assert not self.linked or not self._newest_is_sound(), error.message  # noqa: PT017 - either end may be right
            assert error.hint  # noqa: PT017 - as above
            return
        if done.action == "kept":
            assert self._live() == live
            return
        assert done.snapshot is not None
        self._note({})
        self._is_now(done.snapshot.id, live)

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.linked and self.good)
    def restore_that_one(self, which: int) -> None:
        """What was asked for, or, if it is damaged or of another link, nothing, and said."""
        listed = [s.id for s in self.manager().snapshots(ID) if s.id in self.good]
        if not listed:
            return
        name = listed[which % len(listed)]
        live = self._live()
        try:
            self.manager().restore_from_backup(ID, name)
        except SupervisorError as error:
            refused = name in self.spoilt or self.link_of[name] != self.link
            assert refused, error.message  # noqa: PT017 - either end may be right
            assert self._live() == live
            return
        self._note({})
        self._is_now(name, live)

    def _is_now(self, name: str, live: Tree) -> None:
        # A damaged one may come back as far as the live session has what is damaged.
        assert self._live() == self.good[name], "something else was restored"
        assert self.link_of[name] == self.link, "a restore crossed the end of a link"
        self._is_kept(live)

    def _is_kept(self, live: Tree) -> None:
        """What was live is still somewhere."""
        if live and live not in self.good.values():
            try:
                held = quarantined(self.manager(), self.place)
            except DamagedBlob:
                assert self._rotten()  # its files that were not replaced are live, and only there
                return
            assert live in held, "a restore destroyed it"

    @rule()
    def prune(self) -> None:
        """The invariants say what must stay."""
        self.manager().cleanup_old_backups(ID)

    @rule()
    @precondition(lambda self: self.linked)
    def clear(self) -> None:
        """Gone for good, and kept in quarantine."""
        live = self._live()
        self.manager().clear(ID)
        self.linked = False
        assert not self._live()
        self._is_kept(live)

    @rule(other=st.booleans())
    def relink(self, other: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
        """Another device, or the same again after a clear."""
        if other:
            self.device = 3 - self.device
        elif self.linked:
            return
        self._linked()

    # --- what goes wrong -----------------------------------------------------------------

    @rule(name=st.sampled_from(["creds.json", "store.db"]), how=st.sampled_from(["", "torn", "no"]))
    @precondition(lambda self: self._alive())
    def damage(self, name: str, how: str) -> None:
        """A file of the live session is emptied, torn, or gone."""
        path = self.place.live / name
        if how == "no":
            path.unlink(missing_ok=True)
        elif path.exists():
            path.write_bytes(path.read_bytes()[: 60 if how else 0])

    @rule()
    def lose_the_session(self) -> None:
        """The whole folder is gone; then the model asks only for what is in the store."""
        self.place.lose()

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.good)
    def spoil_a_pack(self, which: int) -> None:
        """A byte changes on the disk. All that need it are damaged, and may be said to be."""
        # Twice would mend it.
        packs = [name for name in self.place.packs() if name not in self.spoilt]
        if packs:
            name = packs[which % len(packs)]
            flip(self.place.store / "packs" / name)
            self.spoilt.add(name)
            self._ask_which_are_whole()

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.good)
    def spoil_a_manifest(self, which: int) -> None:
        """A byte changes in a manifest."""
        own = self.good.keys() - self.spoilt
        names = [name for name in self.place.manifests() if name[:-5] in own]
        if names:
            name = names[which % len(names)]
            flip(self.place.store / name)
            self.spoilt.add(name[:-5])

    def _ask_which_are_whole(self) -> None:
        """Look at the bytes, not at what is said of them."""
        manager = self.manager()
        for name, wanted in self.good.items():
            there = (self.place.store / f"{name}.json").exists()
            if name in self.spoilt or not there:
                continue
            try:
                if exported(manager, self.place, name) == wanted:
                    continue
            except SupervisorError:
                assert manager.verify(ID, name), "what can't be taken out is called whole"
            self.spoilt.add(name)

    @rule()
    def lose_the_state_file(self) -> None:
        """It comes again from the manifests, if there are any."""
        if any(name[:-5] not in self.spoilt for name in self.place.manifests()):
            self.place.state.unlink(missing_ok=True)

    @rule(jump_s=JUMPS_S)
    def the_clock_jumps(self, jump_s: float) -> None:
        """Into the future, or back."""
        self.place.clock.now += jump_s

    @rule(at=st.integers(1, 80), what=st.sampled_from(["backup", "restore", "oldest", "prune"]))
    @precondition(lambda self: self.linked)
    def crash(self, at: int, what: str) -> None:
        """The process ends at a call of an operation; the next one recovers."""
        live = self._live()
        manager = self.manager()
        acts: dict[str, Callable[[], object]] = {
            "backup": lambda: manager.backup(ID),
            "restore": lambda: manager.restore(ID),
            "oldest": lambda: manager.restore_from_backup(ID, "1"),
            "prune": lambda: manager.cleanup_old_backups(ID),
        }
        crashed(lambda: _quietly(acts[what]), at)
        # The fork's clock went on, and so must this one, or two things had the same time.
        self.place.clock.now += 100
        self.manager().cleanup_old_backups(ID)
        if self._live() != live:
            assert what in ("restore", "oldest")
            own = [tree for name, tree in self.good.items() if self.link_of[name] == self.link]
            assert self._live() in own, "a mixture, or another link's"
            self._is_kept(live)
        self._note(live)

    # --- what always holds ---------------------------------------------------------------

    def _live(self) -> Tree:
        return self.place.content()

    def _own(self) -> list[str]:
        return [name for name in self.good if self.link_of[name] == self.link]

    def _newest_is_sound(self) -> bool:
        own = self._own()
        return bool(own) and own[-1] not in self.spoilt

    @invariant()
    def the_newest_two_good_ones_are_there(self) -> None:
        """Whatever was pruned, crashed or set back: they are, and hold what they held."""
        manager = self.manager()
        newest = [name for name in sorted(self._own())[-2:] if name not in self.spoilt]
        for name in newest if self.linked else []:
            assert (self.place.store / f"{name}.json").exists(), f"{name} is gone"
            assert not manager.verify(ID, name), f"{name} is whole, and called damaged"
            assert exported(manager, self.place, name) == self.good[name]

    @invariant()
    def verify_tells_the_truth(self) -> None:
        """Of each listed one: whole if its bytes come back, damaged if they do not."""
        manager = self.manager()
        for snapshot in manager.snapshots(ID):
            if snapshot.id in self.good:
                said = manager.verify(ID, snapshot.id)
                assert bool(said) == (snapshot.id in self.spoilt), (snapshot.id, said)

    @invariant()
    def what_ended_stays_ended(self) -> None:
        """A cleared session does not come back by itself, whatever was lost meanwhile."""
        if not self.linked and not self._live():
            try:
                self.manager().restore(ID)
            except NothingToRestore:
                return
            raise AssertionError("a cleared session came back")


class AmongLife(Life):
    """A session that is a few files of a project, which is none of the store's business."""

    kind = AmongPlace

    def __init__(self) -> None:
        super().__init__()
        settle_in(self.place.live)
        self.beside = neighbours(self.place.live)

    @rule(text=KEYS)
    def work_on_the_project(self, text: str) -> None:
        """A person writes the bot's source."""
        (self.place.live / "bot.py").write_text(f"print({text!r})")
        self.beside = neighbours(self.place.live)

    @rule(which=st.integers(0, 9), at=st.integers(0, 120), clear=st.booleans())
    @precondition(lambda self: self.linked)
    def end_the_link(self, which: int, at: int, clear: bool) -> None:  # noqa: FBT001 - by name
        """A clear, or an import of an old snapshot, which the process may not live to see."""
        whole = [name for name in self.good if name not in self.spoilt and self._is_listed(name)]
        if not clear and not whole:
            return
        live, manager, comes = self._live(), self.manager(), dict[str, bytes | str | None]()
        source = self.place.root / "elsewhere"
        if not clear:
            name = whole[which % len(whole)]
            comes = dict(self.good[name])
            manager.export(ID, source, name)
        act: Callable[[], object] = partial(manager.import_, ID, source)
        if clear:
            act = partial(manager.clear, ID)
        if at:
            crashed(act, at)
        else:
            act()
        shutil.rmtree(source, ignore_errors=True)
        self.place.clock.now += 100
        self.manager().cleanup_old_backups(ID)
        self.linked = self.manager().record(ID).state == "linked"
        assert self._live() == (live if self.linked else comes)
        if not self.linked:
            self._is_kept(live)

    def _is_listed(self, name: str) -> bool:
        return (self.place.store / f"{name}.json").exists()

    @invariant()
    def what_is_none_of_the_session_is_untouched(self) -> None:
        """Byte for byte, inode for inode, and with nothing of ours beside it."""
        assert neighbours(self.place.live) == self.beside
        assert not list(self.place.live.glob(".*"))
        assert self.place.live.stat().st_mode & 0o777 == 0o755


def _quietly(act: Callable[[], object]) -> None:
    try:
        act()
    except SupervisorError:
        return  # refused, which is no crash


def main() -> None:
    """Live as many lives as the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lives", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--among", action="store_true", help="the session lies in a project")
    parser.add_argument("--by-chance", action="store_true", help="others each time")
    args = parser.parse_args()
    without_validator()
    profile = settings(
        max_examples=args.lives,
        stateful_step_count=args.steps,
        derandomize=not args.by_chance,
        # To make an example small takes minutes, which only the long run has.
        phases=list(Phase) if args.by_chance else [Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(AmongLife if args.among else Life, settings=profile)
    print('{"problems": []}')  # noqa: T201 - for `tests.faults.programs`


if __name__ == "__main__":
    main()
