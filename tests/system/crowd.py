"""Ten bots without sessions, of which one may crash over and over."""

NINE = [f"well{n}" for n in range(9)]
WELL = """
[bot.{name}]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = {{ log = "here" }}
"""
LOOPS = """
[bot.loops]
command = ["/bin/sh", "-c", "echo here; exit 7"]
ready = {{ log = "here" }}

[bot.loops.restart]
backoff_s = [0.02, 0.1]
intensity = [{ends}, 60]
"""


def crowd(ends: int) -> str:
    """Return their config; `ends`: how many crashes within a minute are not yet too many."""
    return LOOPS.format(ends=ends) + "".join(WELL.format(name=name) for name in NINE)
