"""What came of a start or a restart that somebody waits for. Pure."""

from dataclasses import dataclass
from typing import Literal

from supervisor.core.state import Phase, State

Result = Literal["ready", "pairing", "held", "offline", "backoff", "failed", "refused", "down"]

_ENDS: dict[Phase, Result] = {
    Phase.PAIRING: "pairing",
    Phase.BACKOFF: "backoff",
    Phase.FAILED: "failed",
    Phase.REFUSED: "refused",
    Phase.DOWN: "down",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended, and why, where it is not `ready`.

    `held`: the new code was not applied, the old generation stays online. `offline`: the network
    can't be reached; it goes on trying. `backoff`: it ended or hung, and is tried again.
    """

    result: Result
    why: str = ""


def outcome(state: State, before: int | None) -> Outcome | None:
    """Return what came of it; None while it goes on.

    `before`: the generation that is to be replaced; None where any that is verified will do. It
    always comes to an end: each phase has a deadline, but that of a bot whose network is away.
    """
    if state.verified and state.current is not None and state.current != before:
        return Outcome("ready")
    if state.phase is Phase.UP and state.held:
        return Outcome("held", state.held)
    if state.phase is Phase.VERIFYING and state.late and state.reported == "offline":
        return Outcome("offline", "the network can't be reached; it goes on trying")
    if state.phase in _ENDS:
        return Outcome(_ENDS[state.phase], state.why)
    return None
