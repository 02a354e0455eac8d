"""The machine's decisions, told as stories: what happens, and what is done about it."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.generations import logged_out
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import DEVICE, Story


def test_one_restart_from_save_to_verified() -> None:
    """Compile, stand by, flush, snapshot, stop, seal, activate, verify: in that order."""
    story = Story().up()
    assert story.state.phase is Phase.UP
    assert story.saved().acts() == [do.RunPreflight(story.ticket, ("bot.py",))]
    assert story.tell(ev.PreflightPassed(story.ticket)).acts() == [
        do.RequestCheckpoint(1),
        do.SpawnStandby(2, ("bot.py",)),
    ]
    assert story.tell(ev.StandbyReached(2)).acts() == []
    assert story.tell(ev.Checkpointed(1)).acts() == [do.TakeSnapshot(story.ticket, "stop", 1)]
    assert story.tell(ev.SnapshotTaken(story.ticket)).acts() == [do.Terminate(1)]
    assert story.tell(ev.Released(1)).acts() == [do.Kill(1)]
    assert story.tell(ev.Exited(1, -9), ev.TreeGone(1)).acts() == [do.Seal(story.ticket, 1)]
    assert story.tell(ev.Sealed(story.ticket, intact=True)).acts() == [
        do.CommitSeat(story.ticket, 2)
    ]
    assert story.tell(ev.SeatCommitted(story.ticket)).acts() == [do.Activate(2)]
    story.tell(ev.SessionReported(2, "restored", DEVICE), ev.ProofGiven(2, "roundtrip"))
    assert story.tell(ev.BotReady(2)).reports() == ["ready", "verified", "restarted"]
    assert story.state.phase is Phase.UP


def test_a_session_that_is_sealed_but_torn_is_checked_before_the_standby_gets_it() -> None:
    """The gap may wait for that: a torn session would become a new device."""
    story = Story().stopping().tell(ev.Exited(1, 0), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=False))
    assert story.acts() == [do.CheckSession(story.ticket, full=True)]
    damaged = ev.SessionChecked(story.ticket, "damaged", linked=True, identity=DEVICE)
    assert story.tell(damaged).acts() == [do.Kill(2)]
    story.tell(ev.Exited(2, -9), ev.TreeGone(2))
    story.tell(ev.SessionChecked(story.ticket, "damaged", linked=True, identity=DEVICE))
    assert story.acts() == [do.RestoreSession(story.ticket, "damaged")]


def test_what_does_not_compile_changes_nothing_but_words() -> None:
    """A working bot is never stopped for code that can't start."""
    story = Story().up().saved()
    story.tell(ev.PreflightFailed(story.ticket))
    assert story.acts() == []
    assert (story.state.phase, story.state.current) == (Phase.UP, 1)
    story.saved("other.py")
    assert story.acts() == [do.RunPreflight(story.ticket, ("bot.py", "other.py"))]


@pytest.mark.parametrize(
    "end", [ev.Exited(2, 1), ev.SpawnFailed(2, "no such program")], ids=["dies", "never runs"]
)
def test_new_code_that_dies_before_its_turn_leaves_the_old_bot_online(end: ev.Event) -> None:
    """Also in the middle of the flush or of the snapshot."""
    for depth in range(3):
        story = Story().up().saved()
        story.tell(ev.PreflightPassed(story.ticket))
        if depth > 0:
            story.tell(ev.StandbyReached(2))
        if depth > 1:
            story.tell(ev.Checkpointed(1))
        story.tell(end)
        assert (story.state.phase, story.state.current, story.state.standby) == (Phase.UP, 1, None)
        assert story.state.held


def test_what_never_ran_is_not_waited_for() -> None:
    """There is no end to be told of it: the next save gets its standby."""
    story = Story().up().saved()
    story.tell(ev.PreflightPassed(story.ticket), ev.SpawnFailed(2, "no such program"))
    assert story.acts() == []
    story.saved().tell(ev.PreflightPassed(story.ticket))
    assert do.SpawnStandby(3, ("bot.py",)) in story.acts()
    # ... also when it was given up before that was known.
    story.saved().tell(ev.PreflightPassed(story.ticket), ev.SpawnFailed(3, "no such program"))
    assert story.acts() == [do.SpawnStandby(4, ("bot.py",))]


def test_a_stop_ends_once_what_could_not_be_killed_is_gone() -> None:
    """A process that hung in the kernel comes back some day; then nobody waits any longer."""
    story = Story().up().tell(ev.StopRequested(hurry=True))
    story.later(5.0).later(5.0)
    assert (story.state.phase, story.state.current) == (Phase.FAILED, 1)
    story.tell(ev.TreeGone(1))
    assert story.state.phase is Phase.DOWN
    assert do.ReleaseOwner() in story.orders


def test_a_trespasser_is_killed_and_the_restart_goes_on_cold() -> None:
    """Its conflict is not taken for a foreign copy, and the change is not forgotten."""
    story = Story().up().saved()
    story.tell(ev.PreflightPassed(story.ticket))
    story.tell(ev.SessionReported(2, "connecting"))
    assert do.Kill(2) in story.orders
    assert "trespass" in story.reports()
    assert story.tell(ev.SessionReported(1, "conflict", reason="440 replaced")).acts() == []
    story.tell(ev.Exited(2, -9), ev.TreeGone(2), ev.Checkpointed(1))
    story.tell(ev.SnapshotTaken(story.ticket), ev.Exited(1, 0), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.acts() == [do.CommitSeat(story.ticket, 3)]
    story.tell(ev.SeatCommitted(story.ticket))
    assert story.acts() == [do.SpawnCold(3, ("bot.py",))]


def test_a_conflict_ends_the_bot_and_never_restarts_it() -> None:
    """Two copies that fight get the device logged out."""
    story = Story().up().tell(ev.SessionReported(1, "conflict", reason="440 replaced"))
    assert story.acts() == [do.Terminate(1)]
    story.tell(ev.Exited(1, 0), ev.TreeGone(1)).tell(ev.Sealed(story.ticket, intact=True))
    assert story.state.phase is Phase.FAILED
    assert "440 replaced" in story.state.why


def test_pairing_in_a_linked_epoch_is_killed_and_restored() -> None:
    """Before it can overwrite the session with a new device."""
    story = Story().seated().tell(ev.SessionReported(1, "pairing"))
    assert story.acts() == [do.Kill(1)]
    story.tell(ev.Exited(1, -9), ev.TreeGone(1))
    assert story.acts() == [do.RestoreSession(story.ticket, "pairing")]
    nothing = ev.NothingToRestore(story.ticket, "each was tried")
    assert [type(order) for order in story.tell(nothing).acts()] == [do.Operate]
    story.tell(ev.OperationDone(story.ticket))
    story.tell(ev.SessionChecked(story.ticket, "absent", linked=False))
    story.tell(ev.SeatCommitted(story.ticket), ev.Spawned(2, 1))
    assert do.NoteQr() in story.tell(ev.SessionReported(2, "pairing")).orders
    assert story.state.phase is Phase.PAIRING


def test_older_snapshots_need_a_persons_consent() -> None:
    """The bot stays down rather than become a new device."""
    story = Story().seated().tell(ev.SessionReported(1, "pairing"))
    story.tell(ev.Exited(1, -9), ev.TreeGone(1))
    story.tell(ev.NothingToRestore(story.ticket, "only older ones", older=True))
    assert story.state.phase is Phase.FAILED
    story.tell(ev.OperationRequested(ev.Operation("restore", 1, "that-one")))
    assert story.acts() == [do.ClaimOwner(story.ticket)]


def test_an_explicit_logout_closes_the_epoch_and_restores_nothing() -> None:
    """After a 401 the old session is kept aside, and a QR code is shown."""
    story = Story().up().tell(ev.SessionReported(1, "lost", reason="401 device removed"))
    assert story.acts() == [do.Kill(1)]
    story.tell(ev.Exited(1, -9), ev.TreeGone(1))
    close = ev.Operation("close", why="401 device removed")
    assert story.acts() == [do.Operate(story.ticket, close)]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("401 device removed", True),
        ("Logged out", True),
        ("device removed", True),
        ("store.db is damaged", False),
        ("", False),
    ],
)
def test_what_counts_as_a_logout(reason: str, *, said: bool) -> None:
    """Only what says so."""
    assert logged_out(reason) is said


def test_a_server_that_never_answers_makes_it_late_and_restores_nothing() -> None:
    """A timeout is never taken for success, and never for a damaged session."""
    story = Story(Policy(on_change=False)).seated()
    assert "late" in story.later(10.0).reports()
    story.later(50.0)
    assert story.acts() == [do.Terminate(1)]
    assert story.tell(ev.Exited(1, 0), ev.TreeGone(1)).state.phase is Phase.BACKOFF


def test_while_the_network_is_away_it_waits_for_ever() -> None:
    """The network is to blame, not the bot and not the session."""
    story = Story().seated().tell(ev.SessionReported(1, "offline")).later(10.0)
    for _ in range(20):
        assert story.later(60.0).acts() == []
    assert story.state.phase is Phase.VERIFYING


@pytest.mark.parametrize(
    ("told", "proof"),
    [
        ([ev.ProofGiven(1, "roundtrip"), ev.BotReady(1)], "roundtrip"),
        ([ev.SessionReported(1, "restored", DEVICE), ev.BotReady(1)], "identity"),
        ([ev.BotReady(1)], "ready"),
        (
            [
                ev.CapsDeclared(1, standby=True, checkpoint=True, roundtrip=True),
                ev.SessionReported(1, "restored", DEVICE),
                ev.BotReady(1),
                ev.UndecryptableSeen(1, 3),
            ],
            "identity",
        ),
    ],
    ids=["roundtrip", "identity", "ready", "deaf"],
)
def test_the_best_proof_that_the_bot_can_give(told: Iterable[ev.Event], proof: str) -> None:
    """A round trip, else the identity, else no more than 'ready'."""
    story = Story().seated().tell(*told)
    assert (story.state.phase, story.state.proof) == (Phase.UP, proof)


def test_a_round_trip_that_was_promised_is_waited_for_until_it_is_late() -> None:
    """'Connected' alone proves nothing when the bot can do better."""
    story = Story().seated()
    story.tell(ev.CapsDeclared(1, standby=True, checkpoint=True, roundtrip=True))
    story.tell(ev.SessionReported(1, "restored", DEVICE), ev.BotReady(1))
    assert story.state.phase is Phase.VERIFYING
    story.later(10.0)
    assert (story.state.phase, story.state.proof) == (Phase.UP, "identity")
    assert do.NoteProof(1, "roundtrip") in story.tell(ev.ProofGiven(1, "roundtrip")).orders


@pytest.mark.parametrize(
    ("policy", "status", "verified", "phase"),
    [
        (Policy(on_change=True), 1, False, Phase.FAILED),
        (Policy(on_change=True), 1, True, Phase.BACKOFF),
        (Policy(on_change=True), -9, False, Phase.BACKOFF),
        (Policy(on_change=False), 1, False, Phase.BACKOFF),
        (Policy(on_change=False), 0, True, Phase.DOWN),
        (Policy(restart="always"), 0, True, Phase.BACKOFF),
        (Policy(restart="never"), 1, True, Phase.DOWN),
        (Policy(on_change=False, intensity=(0, 60.0)), 1, True, Phase.FAILED),
    ],
)
def test_what_follows_when_a_bot_ends_by_itself(
    policy: Policy, status: int, phase: Phase, *, verified: bool
) -> None:
    """In dev new code that crashes at its start waits for the fix; else the policy decides."""
    story = Story(policy)
    story.up() if verified else story.seated()
    story.tell(ev.Exited(1, status), ev.TreeGone(1))
    if story.state.phase is Phase.SEALING:
        story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.state.phase is phase


def test_backoff_doubles_up_to_its_bound_and_then_starts_anew() -> None:
    """And a start does happen: what made it wait is forgotten at the claim."""
    story = Story(Policy(on_change=False, intensity=(99, 60.0), backoff_s=(0.5, 2.0)))
    waits: list[float] = []
    generation = 1
    story.seated()
    for _ in range(4):
        story.tell(ev.Exited(generation, 1), ev.TreeGone(generation))
        assert story.state.deadline is not None
        waits.append(story.state.deadline - story.now)
        story.later(waits[-1])
        story.tell(ev.OwnerTaken(story.ticket, generation))
        story.tell(ev.SurvivorsFound(story.ticket, ()))
        story.tell(ev.SessionChecked(story.ticket, "passed", linked=True, identity=DEVICE))
        story.tell(ev.SeatCommitted(story.ticket))
        generation += 1
        assert do.SpawnCold(generation) in story.orders
        story.tell(ev.Spawned(generation, 1))
    assert waits == [0.5, 1.0, 2.0, 2.0]


def test_a_change_while_it_stops_makes_the_standby_stale() -> None:
    """Old source is never activated; the newest is started cold, once."""
    story = Story().stopping().saved("bot.py")
    assert story.acts() == [do.Kill(2)]
    story.tell(ev.Exited(2, -9), ev.TreeGone(2), ev.Exited(1, 0), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    story.tell(ev.SeatCommitted(story.ticket))
    assert story.acts() == [do.SpawnCold(3, ("bot.py",))]
    assert not story.state.dirty


def test_without_a_snapshot_there_is_no_restart_but_a_stop() -> None:
    """Who wants to stop may; who saved a file keeps the working bot, and it is tried again."""
    story = Story().standing_by().tell(ev.Checkpointed(1))
    story.tell(ev.JobFailed(story.ticket, "No space left on device"))
    assert (story.state.phase, story.state.current) == (Phase.UP, 1)
    assert [type(o) for o in story.later(30.0).acts()] == [do.RunPreflight]
    story = Story().up().tell(ev.StopRequested(), ev.Checkpointed(1))
    story.tell(ev.JobFailed(story.ticket, "No space left on device"))
    assert story.acts() == [do.Terminate(1)]


def test_a_pause_collects_and_a_resume_acts_once() -> None:
    """However many saves there were."""
    story = Story().up().tell(ev.PauseRequested())
    for name in ("a.py", "b.py", "a.py"):
        assert story.saved(name).acts() == []
    assert story.tell(ev.ResumeRequested()).acts() == [
        do.RunPreflight(story.ticket, ("a.py", "b.py"))
    ]


def test_a_session_is_changed_only_at_rest() -> None:
    """`session clear` of a running bot: snapshot, stop, seal, clear, start."""
    clear = ev.Operation("clear", 1)
    story = Story().up().tell(ev.OperationRequested(clear), ev.Checkpointed(1))
    story.tell(ev.SnapshotTaken(story.ticket), ev.Exited(1, 0), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.acts() == [do.Operate(story.ticket, clear)]
    second = ev.Operation("clear", 2)
    story.tell(ev.OperationDone(story.ticket))
    assert story.acts() == [do.CheckSession(story.ticket, full=True)]
    assert story.tell(ev.OperationRequested(second)).acts() == []
    third = ev.Operation("clear", 3)
    assert [type(o) for o in story.tell(ev.OperationRequested(third)).acts()] == [
        do.RefuseOperation
    ]


def test_a_busy_session_is_refused_and_named() -> None:
    """And who waited for an operation is told."""
    story = Story().tell(ev.OperationRequested(ev.Operation("clear", 1)))
    story.tell(ev.OwnerBusy(story.ticket, 812))
    assert "812" in story.state.why or story.state.phase is Phase.DOWN
    assert any(isinstance(order, do.RefuseOperation) for order in story.orders)


def test_survivors_are_asked_then_killed_then_given_up() -> None:
    """Bounded, whatever they do."""
    story = Story().tell(ev.StartRequested())
    story.tell(ev.OwnerTaken(story.ticket, 7))
    story.tell(ev.SurvivorsFound(story.ticket, (812,)))
    assert story.acts() == [do.EvictSurvivors(story.ticket, 10.0)]
    assert story.later(10.0).acts() == [do.EvictSurvivors(story.ticket, 5.0, kill=True)]
    assert story.later(5.0).state.phase is Phase.FAILED


def test_an_event_that_nobody_waits_for_changes_nothing() -> None:
    """A late answer, or a generation that is long gone."""
    story = Story().up()
    before = story.state
    story.tell(ev.SnapshotTaken(story.ticket), ev.Exited(77, 0), ev.Sealed(1, intact=True))
    assert story.state == replace(before)
    assert story.orders == ()


def test_the_record_counts_from_the_first_save_that_nothing_runs() -> None:
    """Who saved while the last restart was being verified waited from then on."""
    story = Story().stopping().tell(ev.Exited(1, 0), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True)).tell(ev.SeatCommitted(story.ticket))
    saved_at = story.now
    story.saved("early.py").later(1.0)
    story.saved("late.py")
    story.tell(ev.ProofGiven(2, "roundtrip"), ev.BotReady(2))
    assert story.state.restart is not None
    assert story.state.restart.saved_at == saved_at
    assert story.state.restart.changed == ("early.py", "late.py")


def test_a_service_tries_again_when_the_lock_can_not_be_taken() -> None:
    """A full disk at the start of a service is no reason to be down for ever."""
    story = Story(Policy(on_change=False)).tell(ev.StartRequested())
    story.tell(ev.JobFailed(story.ticket, "No space left on device"))
    assert story.state.phase is Phase.BACKOFF
    story = Story(Policy(on_change=True)).tell(ev.StartRequested())
    assert story.later(30.0).state.phase is Phase.FAILED


def test_dev_asks_before_it_goes_on_as_another_device() -> None:
    """A re-link by hand: a person agrees by starting it again; a service goes on and says so."""
    story = Story().tell(ev.StartRequested())
    story.tell(ev.OwnerTaken(story.ticket, 0)).tell(ev.SurvivorsFound(story.ticket, ()))
    story.tell(
        ev.SessionChecked(story.ticket, "passed", linked=True, foreign=True, identity=DEVICE)
    )
    assert story.state.phase is Phase.FAILED
    story.saved()
    for event in (None, ev.RestartRequested()):
        if event is not None:
            story.tell(event)
        story.tell(ev.OwnerTaken(story.ticket, 0)).tell(ev.SurvivorsFound(story.ticket, ()))
        story.tell(
            ev.SessionChecked(story.ticket, "passed", linked=True, foreign=True, identity=DEVICE)
        )
        asked = event is None
        assert (story.state.phase is Phase.FAILED) == asked
    assert [type(order) for order in story.acts()] == [do.CommitSeat]
    service = Story(Policy(on_change=False)).tell(ev.StartRequested())
    service.tell(ev.OwnerTaken(service.ticket, 0)).tell(ev.SurvivorsFound(service.ticket, ()))
    service.tell(
        ev.SessionChecked(service.ticket, "passed", linked=True, foreign=True, identity=DEVICE)
    )
    assert [type(order) for order in service.acts()] == [do.CommitSeat]


def _checking(story: Story) -> Story:
    return story.tell(ev.OwnerTaken(1, 0), ev.SurvivorsFound(2, ()))


def _restoring(story: Story) -> Story:
    _checking(story)
    return story.tell(ev.SessionChecked(story.ticket, "damaged", linked=True))


@pytest.mark.parametrize("begin", [_checking, _restoring])
def test_a_service_tries_again_what_the_disk_did_not_let_it_do(
    begin: Callable[[Story], Story],
) -> None:
    """A full disk has room again some day, and nobody is awake; a developer is told at once."""
    phases: dict[str, Phase] = {}
    for mode in ("service", "dev"):
        story = begin(Story(Policy(on_change=mode == "dev")).tell(ev.StartRequested()))
        story.tell(ev.JobFailed(story.ticket, "No space left on device"))
        phases[mode] = story.state.phase
        phases[f"{mode}, later"] = story.later(60.0).state.phase
    assert phases == {
        "service": Phase.BACKOFF,
        "service, later": Phase.CLAIMING,
        "dev": Phase.FAILED,
        "dev, later": Phase.FAILED,
    }


def test_a_change_is_tried_once_not_for_ever() -> None:
    """A failure that no change can cure ends in FAILED, though a change came meanwhile."""
    story = Story().tell(ev.StartRequested()).saved()
    story.tell(ev.JobFailed(story.ticket, "the disk is broken"))
    assert story.acts() == [do.ClaimOwner(story.ticket)]
    story.tell(ev.JobFailed(story.ticket, "the disk is broken"))
    assert story.state.phase is Phase.FAILED
