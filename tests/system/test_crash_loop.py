"""One bot of ten crashes over and over: that is bounded, and the other nine do not notice."""

from collections.abc import Callable

from tests.system.harness import Folder, running

NINE = [f"well{n}" for n in range(9)]
WELL = """
[bot.{name}]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = {{ log = "here" }}
"""
LOOPS = """
[bot.loops]
command = ["/bin/sh", "-c", "echo here; exit 7"]
ready = { log = "here" }

[bot.loops.restart]
backoff_s = [0.02, 0.1]
intensity = [8, 60]
"""


def test_a_crash_loop_is_bounded_and_hurts_nobody_else(
    new_folder: Callable[..., Folder],
) -> None:
    """Nine starts in all, then FAILED with its reason and exit code 3; the nine keep their pids."""
    folder = new_folder(LOOPS + "".join(WELL.format(name=name) for name in NINE))
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
