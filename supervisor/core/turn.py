"""One step while it is worked out: the moves from phase to phase that several events share.

A `Turn` collects changes and effects; outside of `step` nobody sees it. Each move states what
must be true when it is made, so that the phases cannot be entered by a side door.
"""

from typing import Any, Literal

from supervisor.core.effects import (
    CheckSession,
    ClaimOwner,
    CommitSeat,
    FindSurvivors,
    Kill,
    NoteProof,
    NoteState,
    NoteVerified,
    Operate,
    RefuseOperation,
    ReleaseOwner,
    RestoreSession,
    Seal,
)
from supervisor.core.events import Operation
from supervisor.core.limits import (
    JOB_TIMEOUT_S,
    KILL_TIMEOUT_S,
    RESTORE_JOB_TIMEOUT_S,
    SEAL_TIMEOUT_S,
)
from supervisor.core.preparing import Preparing
from supervisor.core.state import After, Phase


class Turn(Preparing):
    """The state as it becomes, and the effects so far."""

    # Towards a running bot.

    def claim(self) -> None:
        """From nothing that runs: take the lock."""
        if self.state.current is not None or self.state.doomed:
            self.set(after=After.RESTART)
            self.kill_again()
            return
        self.forget_all()
        # Nothing runs: whatever is started next is started from the newest.
        self.set(dirty=False, settling=False)
        self.go(Phase.CLAIMING, JOB_TIMEOUT_S)
        self.do(ClaimOwner(self.new_ticket()))

    def claim_changed(self) -> None:
        """Try again, for a change that was collected."""
        self.begin_change()
        self.claim()

    def forget_all(self) -> None:
        """Nothing runs: all that was known of the last run has to be looked at anew."""
        self.forget_generation()
        self.set(
            after=After.RESTART,
            why="",
            clean=False,
            to_seal=None,
            killing=False,
            cold_once=False,
            linked=False,
            known_identity="",
            stranger=False,
        )

    def kill_again(self) -> None:
        """Something that was killed still stands: nothing may start beside it."""
        self.go(Phase.KILLING, KILL_TIMEOUT_S)
        standing = {self.state.current, *self.state.doomed}
        self.do(*(Kill(generation) for generation in sorted(filter(None, standing))))

    def sweep(self) -> None:
        """The lock is ours: look for what an earlier supervisor left."""
        self.go(Phase.SWEEPING, JOB_TIMEOUT_S)
        self.do(FindSurvivors(self.new_ticket()))

    def at_rest(self) -> None:
        """Nobody has the seat and nothing survives: see what is next."""
        state = self.state
        hands_over = (
            state.after is After.RESTART
            and state.wanted_up
            and state.operation is None
            and state.standby_waits
        )
        if not hands_over:
            self.kill_standby()
        if self.state.doomed:
            self.go(Phase.STOPPING, KILL_TIMEOUT_S)
            return
        if state.after is After.CLOSE:
            closing = Operation("close", why=state.why)
            self.set(after=After.RESTART)
            self._pace_refusals()
            self.operate(closing)
        elif state.operation is not None:
            self.set(operation=None)
            self.operate(state.operation)
        elif not state.wanted_up or state.after is After.FINISH:
            self.down()
        elif state.after is After.RESTORE:
            self.set(after=After.RESTART)
            self.restore("pairing")
        elif state.after is After.BACKOFF:
            self.back_off()
        elif state.after is After.FAIL:
            self.fail(state.why)
        elif self.policy.has_session:
            # After a seal nobody else has had the session, so the cheap check will do.
            full = not state.clean
            self.go(Phase.CHECKING_SESSION, JOB_TIMEOUT_S)
            self.do(CheckSession(self.new_ticket(), full))
        else:
            self.start()

    def operate(self, operation: Operation) -> None:
        """Change the session folder: only from rest."""
        self.set(clean=False)
        self.go(Phase.OPERATING, RESTORE_JOB_TIMEOUT_S)
        self.do(Operate(self.new_ticket(), operation))

    def restore(self, because: Any) -> None:
        """Bring a proven snapshot back: only from rest."""
        self.set(clean=False)
        self.mark(rolled_back=True)
        self.go(Phase.RESTORING, RESTORE_JOB_TIMEOUT_S)
        self.do(RestoreSession(self.new_ticket(), because))

    def start(self) -> None:
        """The session is as it should be: give the seat to the standby, or to a cold start."""
        self.forget_generation()
        self.set(clean=False, after=After.RESTART, why="", cold_once=False, foreign="")
        if self.state.standby is not None and self.state.standby_waits:
            self.go(Phase.ACTIVATING, JOB_TIMEOUT_S)
            self.do(CommitSeat(self.new_ticket(), self.state.standby))
            return
        self.set(generation=self.state.generation + 1)
        self.go(Phase.STARTING, self.policy.start_timeout_s)
        self.do(CommitSeat(self.new_ticket(), self.state.generation))

    def up(self, proof: str) -> None:
        """The start is verified: say so, then act on what came meanwhile."""
        state = self.state
        assert state.current is not None  # noqa: S101 - the machine's own promise
        began = None if state.restart is None else state.restart.activated_at
        seconds = 0.0 if began is None else max(0.0, self.now - began)
        # Nobody was stopped for it, so nothing was copied on the way.
        from_rest = state.restart is not None and state.restart.terminated_at is None
        self.mark(verified_at=self.now, verified=True, proof=proof, late=state.late)
        self.set(verified=True, proof=proof, held="", up_since=self.now, late=False)
        self.set(stranger=False)  # the epoch is this device's from here on
        if self.policy.has_session and state.fresh_link == "paired":
            self.do(NoteProof(state.current, proof))  # a first link is no restore
        elif self.policy.has_session:
            self.do(NoteVerified(state.current, state.identity, proof, seconds))
        self.report(
            "verified",
            generation=state.current,
            proof=proof,
            identity=state.identity,
            fresh=state.fresh_link,
            late=state.late,
        )
        if self.state.restart is not None:
            self.report("restarted", record=self.state.restart.to_json())
            self.set(restart=None)
        if self.policy.has_session and state.fresh_link:
            self.copy("linked")
        elif self.policy.has_session and from_rest and not state.linked:
            self.copy("first")  # of a session that was there before us
        if state.fresh_link == "paired" and self.policy.settle_s:
            self.set(young_until=self.now + self.policy.settle_s)
        self.set(fresh_link="")
        self.settle_up()

    def preflight(self, reason: Literal["change", "manual", "limit"]) -> None:
        """Begin a restart; not for a change while the login may not be on the disk yet."""
        rest_s = (self.state.young_until or self.now) - self.now
        if reason != "change" or rest_s <= 0:
            super().preflight(reason)
            return
        self.set(dirty=False)
        self.hold(f"the login is on the disk for sure in {rest_s:.0f} s; a restart by hand is now")
        if self.state.phase is Phase.UP:
            self.go(Phase.UP, rest_s)

    def settle_up(self) -> None:
        """Stay up, or go on to what was asked for meanwhile."""
        if self.state.operation is not None or not self.state.wanted_up:
            self.leave()
        elif self.state.dirty and not self.state.paused:
            self.preflight("change")
        else:
            self.go(Phase.UP)

    def hold(self, why: str) -> None:
        """The old generation stays; what changed is not applied, and it is said why."""
        self.kill_standby()
        self.set(held=why, restart=None, saw=None, cold_once=False)
        self.report("held", why=why, paths=list(self.state.changed))
        self.settle_up()

    # From one generation to the next.

    def gone(self) -> None:
        """The old tree and all that was killed are proved gone."""
        self.mark(gone_at=self.now)
        sealing = self.state.to_seal
        self.set(to_seal=None, killing=False)
        if sealing is not None and self.state.after not in (After.RESTORE, After.CLOSE):
            self.go(Phase.SEALING, SEAL_TIMEOUT_S)
            self.do(Seal(self.new_ticket(), sealing))
        else:
            self.at_rest()

    # Ends.

    def drop_operation(self, why: str) -> None:
        """Tell who waits that the session will not be changed."""
        if self.state.operation is not None:
            self.do(RefuseOperation(self.state.operation, why))
            self.set(operation=None)

    def back_off(self) -> None:
        """Wait before the next try; a change cuts it short."""
        if self.state.dirty and not self.state.paused:
            self.claim()
            return
        first, most = self.policy.backoff_s
        full = min(most, first * 2 ** min(self.state.attempt, 30))
        share = self._chance() / 4
        delay = full * (1 + share) if full * (1 + share) <= most else full * (1 - share)
        delay = max(first, delay)
        self.set(attempt=min(self.state.attempt + 1, 30))
        self.report("backoff", delay_s=delay, why=self.state.why)
        self.go(Phase.BACKOFF, delay)

    def _chance(self) -> float:
        """Return a number from 0 to below 1: this bot's own, and another one at each try."""
        state = self.state
        mixed = self.policy.seed * (2 * state.attempt + 1) * 0x9E3779B1
        return (mixed >> 8) % 1024 / 1024

    def count_crash(self) -> int:
        """Count an end that nobody asked for; return how many there were in the window.

        Who was up for longer than that begins anew.
        """
        state = self.state
        most, window_s = self.policy.intensity
        recent = [at for at in state.crashes if self.now - at < window_s]
        crashes = (*recent[-most:], self.now)
        stable = state.up_since is not None and self.now - state.up_since > window_s
        self.set(crashes=crashes, attempt=0 if stable else state.attempt)
        return len(crashes)

    def _pace_refusals(self) -> None:
        """See how to go on after a lost link: a bot that loses each one at once is in a loop.

        The first time at once: a person may be there to scan.
        """
        most, window_s = self.policy.intensity
        count = sum(self.now - at < window_s for at in self.state.crashes)
        if count > most:
            why = f"it lost its link or crashed {count} times in {window_s:g} s: {self.state.why}"
            self.set(after=After.FAIL, why=why)
        elif count > 1:
            self.set(after=After.BACKOFF)

    def give_up(self, why: str) -> None:
        """Only a person can say how the session at rest goes on: fail, once all is in order."""
        self.forget_jobs()
        self.set(after=After.FAIL, why=why)
        self.at_rest()

    def set_back(self, why: str) -> None:
        """Work on the session at rest went wrong: a full disk, say.

        In a service nobody looks, and such things pass; a developer is told.
        """
        if self.policy.on_change:
            self.give_up(why)
            return
        self.forget_jobs()
        self.set(after=After.BACKOFF, why=why)
        self.at_rest()

    def try_later(self, why: str) -> None:
        """Nothing runs and the lock is not ours yet: a person's turn, or the next try's."""
        if self.policy.on_change or not self.state.wanted_up:
            self.fail(why)
        else:
            self.drop_operation(why)
            self.set(why=why)
            self.back_off()

    def fail(self, why: str) -> None:
        """Give up until a person or a change comes."""
        self.kill_standby()
        self.set(why=why, restart=None)
        self.forget_jobs()
        self.report("failed", why=why)
        self.drop_operation(why)
        self.do(NoteState("failed"))
        self.go(Phase.FAILED)
        if self.state.current is None and not self.state.doomed:
            self.set(killing=False)
            self.leave_failed()

    def leave_failed(self) -> None:
        """Nothing runs any more: end, or try what changed meanwhile; else a person is needed.

        In a service a tree that hung in the kernel, for a network share say, and is gone at last
        needs none: it goes on as after any kill.
        """
        state = self.state
        if not state.wanted_up:
            self.down()
        elif state.dirty and not state.paused:
            self.claim_changed()
        elif state.killing and state.after is not After.FAIL and not self.policy.on_change:
            self.gone()

    def down(self) -> None:
        """The end of it: nothing runs, the lock is given back."""
        self.forget_all()
        self.set(restart=None, attempt=0, crashes=())
        self.drop_operation("the bot was stopped")
        self.report("down")
        self.go(Phase.DOWN)
        self.do(ReleaseOwner())
        if self.state.dirty and self.state.wanted_up and not self.state.paused:
            self.claim_changed()
