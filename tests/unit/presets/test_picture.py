"""QR codes as real packages draw them are seen; whatever else is drawn of such signs is none."""

from pathlib import Path

import pytest

from supervisor.presets.picture import Picture

FOLDER = Path(__file__).parent / "codes"
# As written by qrcode-terminal 0.12, qrcode 8.2 (Python), segno 1.6.6; and in the half blocks of
# qrterminal, which bots of whatsmeow use.
CODES = sorted(path.name for path in FOLDER.glob("*.txt"))

FIGLET = r"""
██╗    ██╗██╗  ██╗ █████╗ ████████╗███████╗     ██╗   ██╗██████╗
██║    ██║██║  ██║██╔══██╗╚══██╔══╝██╔════╝     ██║   ██║██╔══██╗
██║ █╗ ██║███████║███████║   ██║   ███████╗     ██║   ██║██████╔╝
██║███╗██║██╔══██║██╔══██║   ██║   ╚════██║     ██║   ██║██╔═══╝
╚███╔███╔╝██║  ██║██║  ██║   ██║   ███████║     ╚██████╔╝██║
 ╚══╝╚══╝ ╚═╝  ╚═╝╚═╝  ╚═╝   ╚═╝   ╚══════╝      ╚═════╝ ╚═╝
"""
BLOCKS = """
▄▄▄▄▄   ▄▄▄▄▄  ▄▄▄▄▄▄▄   █   █  ▄▄▄▄▄   ▄▄▄▄▄
█    █  █   █     █      █   █  █   █   █    █
█▀▀▀▀   █   █     █      █   █  █▀▀▀    █▀▀▀▀
█▄▄▄▄▀  █▄▄▄█     █      █▄▄▄█  █       █
"""
BARS = "\n".join(f"{n:3}% |{'█' * n}{' ' * (100 - n)}|" for n in range(0, 100, 3))
BARE_BARS = "\n".join("█" * n + "░" * (40 - n) for n in range(0, 40, 2))
HISTOGRAM = "\n".join(f"{'day ' + str(n):10} {'▇' * n}" for n in range(30))
COLUMNS = "▁▂▃▄▅▆▇█▇▆▅▄▃▂▁▁▂▃▄▅▆▇█▇▆▅▄▃▂▁\n" * 20
TABLE = "┌──────┬──────┐\n" + "│ a    │ ████ │\n" * 20 + "└──────┴──────┘"
RULES = "########################################\n" * 20
MARKDOWN = "## one\n## two\n" * 12
WIDE = "█ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄ █ ▀ ▄\n" * 3
LOGO = ("█ ▀ ▄ █ ▀▄ █ ▄ ▀█▄▀ ▄█\n" * 9).strip("\n")
PORTRAIT = ("█▀▄█▀▄█▀▄ █▀▄█▀▄█▀▄ █▀▄█▀▄\n" * 60).strip("\n")
NONE = {
    "logo": LOGO,
    "portrait": PORTRAIT,
    "figlet": FIGLET,
    "blocks": BLOCKS,
    "bars": BARS,
    "bare bars": BARE_BARS,
    "histogram": HISTOGRAM,
    "columns": COLUMNS,
    "table": TABLE,
    "rules": RULES,
    "markdown": MARKDOWN,
    "wide": WIDE,
}


def drawn(text: str) -> tuple[str, ...]:
    """Return the code in what is printed."""
    picture = Picture()
    for line in text.split("\n"):
        picture.take(line)
    return picture.code


@pytest.mark.parametrize("name", CODES)
def test_a_code_is_seen_however_it_is_drawn(name: str) -> None:
    """With what is printed before and after it."""
    text = (FOLDER / name).read_text()
    code = drawn(f"Scan this:\n{text}\nwaiting ...\n")
    assert len(code) >= text.count("\n") - 5  # blank lines around it may be no rows
    assert drawn(text)


@pytest.mark.parametrize("name", CODES)
def test_the_second_of_two_codes_counts(name: str) -> None:
    """It is drawn anew each 20 s, with a line between them."""
    text = (FOLDER / name).read_text()
    assert len(drawn(f"{text}\nagain:\n{text}")) == len(drawn(text))


@pytest.mark.parametrize("name", CODES)
def test_half_a_code_is_none_yet(name: str) -> None:
    """A person could not scan it."""
    rows = (FOLDER / name).read_text().split("\n")
    assert not drawn("\n".join(rows[: len(rows) // 3]))


@pytest.mark.parametrize("name", NONE)
def test_what_else_is_drawn_is_no_code(name: str) -> None:
    """A banner, a bar of progress, a table: a bot that is linked would be stopped for it."""
    assert not drawn(NONE[name])
    assert not drawn(f"hello\n{NONE[name]}\nbye\n")
