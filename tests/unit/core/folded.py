"""The states of the search, folded: what no decision depends on is the same in all of them.

Owns what is true outside of the machine (`World`), what was visited (`Graph`), and the machine as
the search asks it (`Machine`). Which event may come and what must hold is in `test_search`.
"""

from dataclasses import dataclass, field, replace

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.machine import step
from supervisor.core.policy import Policy
from supervisor.core.state import State

BEFORE_A_STOP = {"preflight", "standby", "checkpointing", "snapshotting"}
# Orders that change nothing but what is known.
SAID = (do.Report, do.NoteState, do.NoteProof, do.NoteQr, do.NoteLinked, do.NoteVerified)


@dataclass(frozen=True)
class World:
    """What is true outside of the machine."""

    alive: frozenset[int] = frozenset()  # trees that exist
    ended: frozenset[int] = frozenset()  # of those, main process gone
    writers: frozenset[int] = frozenset()  # of those, told that the session is theirs
    stale: frozenset[int] = frozenset()  # of those, started from source that changed since
    owner: bool = False
    unapplied: bool = False  # a change that no generation runs and nobody was told of
    asked: bool = False  # an operation that a person waits for
    stranger: bool = False  # the session at rest is another device's than the epoch's
    sealing: bool = False
    unsettled: bool = False  # the last save may still be going on
    compiled: bool = False  # the source as it is now
    copied: bool | None = False  # since the stop began to be prepared; None: nothing to copy


Node = tuple[State, World]
Reached = tuple[State, tuple[do.Effect, ...]]
Ranks = tuple[tuple[int, int], ...]  # generation numbers, and what each is folded into


@dataclass
class Graph:
    """The visited states, by number, and for each what the environment alone can make of it."""

    nodes: list[Node] = field(default_factory=list)
    onward: list[set[int]] = field(default_factory=list)
    _numbers: dict[tuple[int, World], int] = field(default_factory=dict)

    def number(self, node: Node) -> int:
        """Return its number; one that is new is put at the end. Its state is known by its id."""
        number = self._numbers.setdefault((id(node[0]), node[1]), len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
            self.onward.append(set())
        return number


class Machine:
    """The machine, asked each question once: a state is met again in many a world.

    What it gave lives as long as it does, and so do the ids.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._states: dict[State, State] = {}
        self._steps: dict[int, dict[ev.Event, Reached | None]] = {}
        self._folded: dict[tuple[int, frozenset[int]], tuple[State, Ranks]] = {}
        self._worlds: dict[tuple[World, Ranks, bool, bool], World] = {}

    def step(self, state: State, event: ev.Event) -> Reached | None:
        """Return the state that comes of it, and the orders; None: the world feels nothing."""
        known = self._steps.setdefault(id(state), {})
        if event not in known:
            # When a deadline has come, a login is old enough, too.
            old = state.but(young_until=None) if isinstance(event, ev.DeadlinePassed) else state
            after, orders = step(old, event, 0.0, self._policy)
            felt = isinstance(event, (ev.Exited, ev.TreeGone, ev.SourceChanged))
            changes = felt or after != state or not all(isinstance(o, SAID) for o in orders)
            known[event] = (after, orders) if changes else None
        return known[event]

    def canonical(self, state: State, world: World) -> Node:
        """Fold what no decision depends on; equal states become the same one."""
        key = (id(state), world.alive)
        if key not in self._folded:
            ranks = ranked(state, world.alive)
            folded = fold_state(state, dict(ranks))
            self._folded[key] = self._states.setdefault(folded, folded), ranks
        folded, ranks = self._folded[key]
        shape = (world, ranks, folded.phase in BEFORE_A_STOP, folded.dirty)
        if shape not in self._worlds:
            self._worlds[shape] = fold_world(world, dict(ranks), folded)
        return folded, self._worlds[shape]


def ranked(state: State, alive: frozenset[int]) -> Ranks:
    """Number the generations that anybody still knows of anew, from 1."""
    mine = {state.current, state.standby, state.seat, state.to_seal, state.generation}
    known = sorted(n for n in mine | state.doomed | alive if n)
    return tuple((number, place) for place, number in enumerate(known, 1))


def fold_state(state: State, rank: dict[int, int]) -> State:
    """Fold numbers by rank, instants, words."""

    def fold(number: int | None) -> int | None:
        return None if number is None else rank[number]

    if state.phase == "pairing":  # it begins anew once it is linked
        state = state.but(identity="", reported="")
    if state.verified:  # what it says once verified is told, and decides nothing
        caps = replace(state.caps, roundtrip=False)
        state = state.but(reported="", proof="", ready=True, identity="", caps=caps)
    return state.but(
        reported="" if state.reported == "connecting" else state.reported,
        deadline=None if state.deadline is None else 0.0,
        ticket=3,
        job=None if state.job is None else 1,
        preflight=None if state.preflight is None else 2,
        copying=None if state.copying is None else 3,
        copied_at=None if state.copied_at is None else 0.0,
        operation=None if state.operation is None else ev.Operation("clear"),
        generation=rank.get(state.generation, 0),
        current=fold(state.current),
        standby=fold(state.standby),
        seat=fold(state.seat),
        to_seal=fold(state.to_seal),
        doomed=frozenset(rank[n] for n in state.doomed),
        changed=(),
        flushing=("one",) if state.flushing else (),
        held="held" if state.held else "",
        why="",
        attempt=0,
        crashes=(),
        up_since=None,
        restart=None,
        saw=None,
        extended_until=None,
    )


def fold_world(world: World, rank: dict[int, int], state: State) -> World:
    """Fold numbers by rank, and what is asked of a world only before a stop."""
    prepares = state.phase in BEFORE_A_STOP
    nothing_done = None if world.copied is None else False
    return replace(
        world,
        unsettled=world.unsettled and (prepares or state.dirty),
        compiled=world.compiled and prepares,
        copied=world.copied if prepares else nothing_done,
        alive=frozenset(rank[n] for n in world.alive),
        ended=frozenset(rank[n] for n in world.ended),
        writers=frozenset(rank[n] for n in world.writers),
        stale=frozenset(rank[n] for n in world.stale),
    )
