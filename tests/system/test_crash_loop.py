"""One bot of ten crashes over and over: that is bounded, and the other nine do not notice."""

from collections.abc import Callable

from tests.system.crowd import NINE, crowd
from tests.system.harness import Folder, running


def test_a_crash_loop_is_bounded_and_hurts_nobody_else(
    new_folder: Callable[..., Folder],
) -> None:
    """Nine starts in all, then FAILED with its reason and exit code 3; the nine keep their pids."""
    folder = new_folder(crowd(8))
    with running(folder, "run") as supervisor:
        pids = {name: supervisor.wait("spawned", bot=name)["pid"] for name in NINE}
        for name in NINE:
            supervisor.wait("restarted", bot=name)
        failed = supervisor.wait("failed", bot="loops")
        assert failed["why"] == "it crashed 9 times in 60 s"
        supervisor.mark_now()
        assert len(supervisor.seen("spawned", bot="loops")) == 9
        waits = [event["delay_s"] for event in supervisor.seen("backoff", bot="loops")]
        assert len(waits) == 8
        assert max(waits) <= 0.1
        for name in NINE:
            status = supervisor.status(name)
            assert (status["phase"], status["pid"], status["restarts"]) == ("up", pids[name], 0)
            assert status["last_restart"]["reason"] == "start"
        assert supervisor.stop() == 3
