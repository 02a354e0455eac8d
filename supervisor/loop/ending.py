"""How bots go down together: those with sessions first, then the companions that serve them."""

from collections.abc import Collection

from supervisor.core.state import Phase
from supervisor.loop.charge import Charge
from supervisor.loop.desk import SETTLED


def to_stop(charges: Collection[Charge], *, hurry: bool) -> list[Charge]:
    """Return whom to stop now. `hurry`: all at once."""
    bots = [charge for charge in charges if charge.bot.session is not None]
    return list(charges) if hurry or are_down(bots, hurry=hurry) else bots


def are_down(charges: Collection[Charge], *, hurry: bool) -> bool:
    """Return whether there is nobody to wait for. `hurry`: not for who can't be brought down."""
    done = (*SETTLED, Phase.FAILED) if hurry else SETTLED
    return all(charge.state.phase in done for charge in charges)
