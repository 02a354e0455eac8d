"""How far long work is: told when it matters, and never in its way."""

from typing import Any

from supervisor.loop.gauge import Gauge


def test_progress_is_told_once_a_second_and_not_in_the_first() -> None:
    """Work that takes less is not spoken of; other work begins anew."""
    told: list[dict[str, Any]] = []
    clock = {"now": 100.0}
    gauge = Gauge(lambda: "reading", lambda _, **f: told.append(f), lambda: clock["now"])
    for tenth in range(35):
        clock["now"] = 100.0 + tenth / 10
        gauge(tenth * 10, 1000)
    assert [fields["done_bytes"] for fields in told] == [100, 200, 300]
    assert told[0] == {"doing": "reading", "done_bytes": 100, "total_bytes": 1000}
    gauge(10, 1000)
    clock["now"] += 0.9
    gauge(20, 1000)
    assert len(told) == 3
    clock["now"] += 60
    gauge(30, 1000)
    assert len(told) == 3


def test_progress_that_nobody_hears_any_more_ends_no_work() -> None:
    """The last seal may take longer than the loop lives."""

    def gone(_event: str, **_fields: Any) -> None:
        raise RuntimeError("Event loop is closed")

    times = iter([1.0, 3.0])
    gauge = Gauge(lambda: "reading", gone, lambda: next(times))
    gauge(1, 1000)
    gauge(2, 1000)
    assert next(times, None) is None
