"""The moves that end a generation. From each of them on, that generation is on its way out."""

from supervisor.core.effects import AskDump, Kill, Terminate
from supervisor.core.limits import DUMP_TIMEOUT_S, KILL_TIMEOUT_S
from supervisor.core.orders import Orders
from supervisor.core.state import Caps, Phase


class Stopping(Orders):
    """Ends the seat's holder, and the standby."""

    def terminate(self, why: str = "") -> None:
        """SIGTERM: from here on the old generation ends, whatever comes."""
        current = self.state.current
        assert current is not None  # noqa: S101 - the machine's own promise
        if self.state.verified and self.policy.has_session:
            self.set(to_seal=current)
        self.goes_offline()
        usual = self.state.after.value if self.state.wanted_up else "asked to stop"
        hangs = self.state.leaving == "hang"
        self.forget_generation()
        self.forget_jobs()
        if hangs:
            self.set(dumping=True)
            self.go(Phase.STOPPING, DUMP_TIMEOUT_S)
            self.do(AskDump(current))
        else:
            self.go(Phase.STOPPING, self.policy.stop_timeout_s)
            self.do(Terminate(current))
        self.report("stopping", generation=current, why=why or usual)  # told while it happens

    def kill(self, why: str) -> None:
        """SIGKILL to the seat's holder."""
        current = self.state.current
        assert current is not None  # noqa: S101 - the machine's own promise
        self.goes_offline()
        self.report("killed", generation=current, why=why)
        self.forget_generation()
        self.forget_jobs()
        self.go(Phase.KILLING, KILL_TIMEOUT_S)
        self.do(Kill(current))

    def kill_standby(self) -> None:
        """Forget the standby: it is dead to us, and soon proved so."""
        standby = self.state.standby
        if standby is not None:
            self.forget_standby()
            self.set(doomed=self.state.doomed | {standby})
            self.do(Kill(standby))

    def forget_standby(self) -> None:
        """There is no standby any more."""
        self.set(standby=None, standby_waits=False, standby_caps=Caps())

    def forget_generation(self) -> None:
        """What a generation said is not said of the next one, and decides nothing at its end."""
        self.set(
            reported="",
            identity="",
            ready=False,
            proof="",
            verified=False,
            fresh_link="",
            late=False,
            held="",
            caps=Caps(),
            leaving="",
            dumping=False,
            extended_until=None,
        )
