"""All reachable states of the machine, held against invariants that are written as literals.

The clock stands still, crashes and generation numbers are folded, so that the states are few
enough to visit every one. Beside the machine walks a world that knows only what effects did to
processes: it is the world that says whether an order was right.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import State
from tests.unit.core.folded import BEFORE_A_STOP, Graph, Machine, World

# Crashes are not counted over time here: always one too few, or always one too many.
DEV = Policy(on_change=True, intensity=(9, 60.0))
SERVICE = Policy(on_change=False, intensity=(0, 60.0))
COMPANION = Policy(has_session=False, on_change=False, restart="always", intensity=(9, 60.0))
YOUNG = Policy(on_change=True, intensity=(9, 60.0), settle_s=35.0)

# Phases in which something is waited for that may never come.
WAITING = {
    "claiming", "sweeping", "evicting", "checking session", "restoring", "operating", "starting",
    "verifying", "preflight", "standby", "checkpointing", "snapshotting", "stopping", "killing",
    "sealing", "activating", "backoff",
}  # fmt: skip
# What may be the last thing that a stop by choice waited for.
CHOSEN = (
    *(ev.PreflightPassed, ev.TurnGiven, ev.SourceSettled, ev.StandbyReached, ev.Checkpointed),
    *(ev.SnapshotTaken, ev.TreeGone, ev.DeadlinePassed),
)
RESTING = {"up", "pairing", "refused", "failed", "down"}

# What a person or an editor may do at any moment. In sets, since what they do is independent
# and each more doubles the states.
ALWAYS: tuple[ev.Event, ...] = (
    ev.StartRequested(),
    ev.StopRequested(),
    ev.SourceChanged(("bot.py",), 0.0, 0.0, 0.0),
)
MOVING: tuple[ev.Event, ...] = (ev.SourceChanged(("bot.py",), 0.0, 0.0, None),)
HURRY: tuple[ev.Event, ...] = (ev.StopRequested(hurry=True), ev.RestartRequested())
PAUSE: tuple[ev.Event, ...] = (ev.PauseRequested(), ev.ResumeRequested())
OPERATE: tuple[ev.Event, ...] = (ev.OperationRequested(ev.Operation("clear")),)


def jobs(phase: str, ticket: int) -> list[ev.Event]:
    """Every result that the job of a phase may have."""
    results: dict[str, list[ev.Event]] = {
        "claiming": [ev.OwnerTaken(ticket, 0), ev.OwnerBusy(ticket, 1)],
        "sweeping": [ev.SurvivorsFound(ticket, ()), ev.SurvivorsFound(ticket, (7,))],
        "evicting": [ev.SurvivorsGone(ticket)],
        "checking session": [
            ev.SessionChecked(ticket, "passed", linked=True, identity="A"),
            ev.SessionChecked(ticket, "passed", linked=True, foreign=True, identity="A"),
            ev.SessionChecked(ticket, "passed", linked=False),
            ev.SessionChecked(ticket, "damaged", linked=True, identity="A"),
            ev.SessionChecked(ticket, "absent", linked=True, identity="A"),
            ev.SessionChecked(ticket, "absent", linked=False),
        ],
        "restoring": [ev.SessionRestored(ticket), ev.NothingToRestore(ticket, "none")],
        "operating": [ev.OperationDone(ticket)],
        "starting": [ev.SeatCommitted(ticket)],
        "activating": [ev.SeatCommitted(ticket)],
        "sealing": [ev.Sealed(ticket, intact=True), ev.Sealed(ticket, intact=False)],
    }
    return [*results.get(phase, []), ev.JobFailed(ticket, "no")]


def facts(generation: int, state: State, world: World) -> Iterator[ev.Event]:
    """Everything that a process which exists may do; what it can do it says once, at first."""
    if generation not in world.ended:
        yield ev.Spawned(generation, 1)
        if state.phase in ("starting", "standby"):
            yield ev.CapsDeclared(generation, standby=True, checkpoint=True, roundtrip=True)
        yield ev.StandbyReached(generation)
        for said in ("connecting", "restored", "linked", "pairing", "lost", "conflict", "offline"):
            yield ev.SessionReported(generation, said, "A")
        yield ev.SessionReported(generation, "lost", reason="401 device removed")
        yield ev.BotReady(generation)
        yield ev.ProofGiven(generation, "roundtrip")
        yield ev.UndecryptableSeen(generation, 1)
        yield ev.Hung(generation, "silent")
        yield ev.LimitExceeded(generation, "too much")
        yield ev.Checkpointed(generation)
        yield ev.Released(generation)
        yield ev.Exited(generation, 0)
        yield ev.Exited(generation, 1)
        yield ev.Exited(generation, -9)
    else:
        yield ev.TreeGone(generation)


def environment(state: State, world: World) -> Iterator[ev.Event]:
    """Everything that may come by itself."""
    if state.job is not None:
        yield from jobs(state.phase, state.job)
    if (ticket := state.preflight) is not None:
        yield from (ev.PreflightPassed(ticket), ev.PreflightFailed(ticket))
        yield ev.JobFailed(ticket, "no")
    if (ticket := state.copying) is not None:
        yield from (ev.SnapshotTaken(ticket), ev.JobFailed(ticket, "no"))
    if state.turn == "asked":
        yield ev.TurnGiven()
    if world.unsettled:
        yield ev.SourceSettled(0.0)
    yield ev.DeadlinePassed()
    yield ev.SnapshotRequested("periodic")
    for generation in sorted(world.alive):
        yield from facts(generation, state, world)
    if state.phase == "starting" and state.current is not None:
        yield ev.SpawnFailed(state.current, "no such command")
    if state.standby is not None and not state.standby_waits:
        yield ev.SpawnFailed(state.standby, "no such command")
    for generation in sorted(state.doomed - world.ended):
        yield ev.SpawnFailed(generation, "no such command")


def advance(  # noqa: C901, PLR0912 - a table
    world: World, event: ev.Event, before: State, orders: tuple[do.Effect, ...]
) -> World:
    """Let the world feel the event and the orders; say where an order was wrong."""
    match event:
        case ev.SourceChanged():
            unsettled = event.quiet_at is None
            world = replace(
                world, unapplied=True, stale=world.alive, unsettled=unsettled, compiled=False
            )
        case ev.SourceSettled():
            world = replace(world, unsettled=False)
        case ev.DeadlinePassed() if before.phase == "preflight":
            world = replace(world, unsettled=False)  # as long as this takes no save
        case ev.PreflightPassed():
            world = replace(world, compiled=True)
        case ev.SnapshotTaken():
            world = replace(world, copied=True)
        case ev.Exited(generation):
            world = replace(world, ended=world.ended | {generation})
        case ev.TreeGone(generation) | ev.SpawnFailed(generation):
            world = replace(
                world,
                alive=world.alive - {generation},
                ended=world.ended - {generation},
                writers=world.writers - {generation},
                stale=world.stale - {generation},
            )
        case ev.OwnerTaken() if before.phase == "claiming":
            world = replace(world, owner=True)
        case ev.OperationRequested():
            assert not (world.asked and before.operation is None)
            world = replace(world, asked=True)
        case ev.Sealed() | ev.JobFailed() | ev.DeadlinePassed() if before.phase == "sealing":
            world = replace(world, sealing=False)
        case ev.SessionChecked():
            world = replace(world, stranger=event.foreign)
        case ev.SessionRestored() | ev.NothingToRestore() | ev.OperationDone():
            world = replace(world, stranger=False)
    restarts = before.wanted_up and before.operation is None and not before.leaving
    by_choice = isinstance(event, CHOSEN) and before.phase in BEFORE_A_STOP
    for order in orders:
        if isinstance(order, do.Terminate) and restarts and by_choice and before.verified:
            assert world.compiled, "stopped for code that was not looked at"
            assert not world.unsettled, "not yet whole"
            assert world.copied is not False, "stopped uncopied"
        if isinstance(order, do.AskDump) and by_choice and isinstance(event, ev.SnapshotTaken):
            assert world.copied is not False, "asked, and maybe ended, uncopied"
        if isinstance(order, (do.SpawnCold, do.SpawnStandby)):
            assert before.wanted_up, "started what nobody wants up"
            assert before.operation is None, "started before a change of its session"
        world = obey(world, order)
    return world


def obey(world: World, order: do.Effect) -> World:  # noqa: C901, PLR0911 - a table
    """One order."""
    match order:
        case do.SpawnCold(generation=generation):
            assert not world.alive, "started beside another generation"
            assert world.owner, "started without the lock"
            assert not world.sealing, "started while the seal still reads the session"
            return replace(
                world,
                unsettled=False,  # what comes after this is told anew
                alive=frozenset({generation}),
                writers=frozenset({generation}),
                unapplied=False,
            )
        case do.SpawnStandby(generation=generation):
            assert generation not in world.alive
            assert len(world.alive) == 1, "a third generation beside two"
            return replace(world, alive=world.alive | {generation})
        case do.Activate(generation):
            assert world.alive == {generation}, "activated beside another generation"
            assert not world.writers, "activated while another may write"
            assert generation not in world.ended
            assert generation not in world.stale, "activated with old source"
            assert world.owner
            assert not world.sealing, "activated while the seal still reads the session"
            return replace(world, writers=frozenset({generation}), unapplied=False)
        case do.RestoreSession() | do.Operate():
            assert not world.alive, "changed the session under a generation"
            assert world.owner, "changed the session without the lock"
            closes = isinstance(order, do.Operate) and order.operation.kind == "close"
            assert not (closes and world.stranger), "ended a link for another device's logout"
            asked = world.asked and not (
                isinstance(order, do.Operate) and order.operation.kind != "close"
            )
            return replace(world, asked=asked)
        case do.RefuseOperation():
            return replace(world, asked=False)
        case do.TakeSnapshot(generation=generation):
            assert generation in world.writers, "copied for one that has not the session"
        case do.AskDump(generation=generation):
            assert generation in world.writers, "asked one that is no seat's holder"
        case do.Terminate(generation) | do.Kill(generation):
            assert generation in world.alive, "signalled a tree that is gone"
        case do.Seal(generation=generation):
            assert generation not in world.alive, "sealed a session that may still change"
            assert not world.writers
            return replace(world, sealing=True)
        case do.NoteLinked() | do.NoteVerified():
            return replace(world, stranger=False)
        case do.ReleaseOwner():
            assert not world.alive, "gave the lock back under a generation"
            return replace(world, owner=False)
        case do.Report("held"):
            return replace(world, unapplied=False)
    return world


def hold(state: State, world: World, event: ev.Event) -> None:
    """What must be true in every state."""
    assert state.phase in WAITING | RESTING
    if state.phase in WAITING:
        assert state.deadline is not None, f"{state.phase} may wait for ever"
    if state.phase == "up":
        assert not state.dirty or state.paused, "UP while dirty"
        assert not world.unapplied or state.paused, "a change is forgotten"
        assert state.wanted_up
        assert state.current in world.writers
        assert state.operation is None
        assert not state.flushing or state.deadline is not None, "an answer may never come"
    assert not state.flushing or state.phase in ("up", "preflight", "standby"), "who waits?"
    if state.phase not in BEFORE_A_STOP:
        side = (state.preflight, state.copying, state.compiled, state.flush, state.turn)
        assert not any(side), "what was prepared for one stop is taken for the next"
    if world.unsettled and state.phase in BEFORE_A_STOP:
        assert state.settling, "a save that may go on is taken for whole"
    if isinstance(event, ev.SourceChanged):
        assert state.standby is None, "a standby outlived its source"
    if state.phase in ("down", "refused"):
        assert not world.alive
        assert not world.asked, "a person waits for an operation that will not come"
    if state.phase == "failed" and world.alive:
        assert state.current is not None or state.doomed, "a tree was forgotten"
    assert len(world.writers) <= 1, "two may write"
    assert world.alive <= {state.current, state.standby} | state.doomed, "a tree was forgotten"


def search(policy: Policy, persons: tuple[ev.Event, ...]) -> Graph:
    """Visit all that can be reached from DOWN."""
    graph, machine = Graph(), Machine(policy)
    first, nothing_yet = State(), World(copied=False if policy.has_session else None)
    graph.number(machine.canonical(first, nothing_yet))
    for number, (state, world) in enumerate(graph.nodes):  # it grows meanwhile
        alone = list(environment(state, world))
        for place, event in enumerate([*alone, *ALWAYS, *persons]):
            if (result := machine.step(state, event)) is None:
                continue
            after, orders = result
            try:
                reached = advance(world, event, state, orders)
                hold(after, reached, event)
            except AssertionError as error:
                pytest.fail(f"{error}\n{event}\nin {state}\n   {world}\n-> {after}\n{orders}")
            following = graph.number(machine.canonical(after, reached))
            if place < len(alone):
                graph.onward[number].add(following)
    return graph


def leading_to(graph: Graph, phases: set[str]) -> set[int]:
    """Return the states from which what comes by itself leads to one of the phases."""
    back: list[list[int]] = [[] for _ in graph.nodes]
    for number, onward in enumerate(graph.onward):
        for following in onward:
            back[following].append(number)
    queue = deque(n for n, (state, _world) in enumerate(graph.nodes) if state.phase in phases)
    found = set(queue)
    while queue:
        for number in back[queue.popleft()]:
            if number not in found:
                found.add(number)
                queue.append(number)
    return found


# Each on its own takes up to half a minute; a few at every test, all of them in `make soak`.
USUAL = [(SERVICE, HURRY)]
REST = [
    *((p, (*a, *MOVING)) for p in (DEV, SERVICE, COMPANION) for a in (HURRY, PAUSE, OPERATE)),
    (DEV, HURRY),
    (YOUNG, PAUSE),
]
LONG = (pytest.mark.long, pytest.mark.timeout(600))  # a busy machine takes minutes


@pytest.mark.parametrize(
    ("policy", "persons"),
    [
        *USUAL,
        *(pytest.param(*each, marks=LONG) for each in REST if each not in USUAL),
    ],
)
def test_every_reachable_state_keeps_the_promises(
    policy: Policy, persons: tuple[ev.Event, ...]
) -> None:
    """No two writers, no change forgotten, no phase without a deadline, and stop ends in DOWN."""
    graph = search(policy, persons)
    ends, comes_up = leading_to(graph, {"down"}), leading_to(graph, {"up"})
    waits_for_a_person = {"refused", "failed", "down"}
    for number, (state, _world) in enumerate(graph.nodes):
        if not state.wanted_up:
            assert number in ends, f"a stop never ends: {state}"
        stays_down = state.phase in waits_for_a_person or state.after in ("fail", "finish")
        if state.wanted_up and not stays_down:
            assert number in comes_up, f"it never comes up: {state}"
    assert len(graph.nodes) > 50
