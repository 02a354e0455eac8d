"""The picture of a restart: bars side by side, and the gap where nobody was online."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core.records import PHASES, Restart
from supervisor.core.timeline import WIDTH, length_s, timeline

INSTANTS = (
    "saved_at",
    "detected_at",
    "quiet_at",
    "preflight_at",
    "standby_at",
    "checkpoint_at",
    "snapshot_at",
    "terminated_at",
    "gone_at",
    "sealed_at",
    "activated_at",
    "ready_at",
    "verified_at",
)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 30), min_size=len(INSTANTS), max_size=len(INSTANTS)))
def test_the_bars_are_side_by_side_and_fill_it(steps: list[float]) -> None:
    """In their order, as wide as they took; what is too small to be seen is drawn all the same."""
    at = 0.0
    instants: dict[str, float] = {}
    for name, step in zip(INSTANTS, steps, strict=True):
        at += step
        instants[name] = at
    record = Restart(reason="change", begun_at=0.0, **instants).to_json()  # type: ignore[arg-type] # all are instants
    drawn = timeline(record, least=3.0)
    assert drawn.total_s == length_s(record)
    if drawn.total_s == 0:
        assert not drawn.bars
        return
    assert [bar.phase for bar in drawn.bars] == list(PHASES)
    end = 0.0
    for bar in drawn.bars:
        assert bar.x == pytest.approx(end, abs=0.02)
        assert bar.width >= 3
        end += bar.seconds / drawn.total_s * WIDTH
    assert end == pytest.approx(WIDTH, abs=0.1)
    assert drawn.gap is not None
    assert drawn.gap.x >= 0
    assert drawn.gap.x + drawn.gap.width <= WIDTH + 0.02


def test_the_gap_is_where_nobody_was_online() -> None:
    """It ends when the new one is ready, whatever is verified after."""
    record = {"standby_s": 0.08, "stop_s": 0.01, "ready_s": 0.01}
    gap = timeline({**record, "gap_s": 0.02, "save_to_ready_s": 0.1}).gap
    assert gap is not None
    assert [gap.seconds, gap.x, gap.width] == pytest.approx([0.02, 800, 200])
    assert timeline({"ready_s": 1.0, "save_to_ready_s": 1.0}).gap is None


def test_several_are_drawn_on_one_scale() -> None:
    """Half as long is half as wide."""
    (bar,) = timeline({"ready_s": 1.0}, 2.0).bars
    assert (bar.x, bar.width) == (0.0, WIDTH / 2)


@pytest.mark.parametrize("record", [{}, {"ready_s": None}, {"ready_s": "1"}, {"gap_s": 1.0}])
def test_what_says_nothing_has_no_picture(record: dict[str, object]) -> None:
    """A record of another version, or of a start that came to nothing."""
    drawn = timeline(record)
    assert (drawn.bars, drawn.gap, drawn.total_s) == ((), None, 0.0)
