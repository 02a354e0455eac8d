"""The page in a real browser: what a person sees of a bot, and does with it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.system.chromium import Chromium, chromium, needs_chromium
from tests.system.harness import PHONE, Folder, Running, running
from tests.system.webkit import visitor

PHASE = "document.querySelector('#now .phase').textContent"
ROWS = "document.querySelectorAll('.timeline > li').length"
CODE = "document.querySelector('.code')"
LIVE = "document.querySelector('#feed').textContent === 'live'"

# What has no meaning without a name.
NAMED = ("link", "button", "textbox", "checkbox", "image", "region", "navigation", "table", "log")
# Of each text that can be seen: how well it can be told from what is behind it (WCAG 2, 1.4.3).
CONTRAST = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => {
      const part = c / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !each.checkVisibility() || each.closest("svg, noscript")) continue;
    const front = light(numbers(getComputedStyle(each).color).slice(0, 3));
    const back = light(ground(each));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) bad.push(`${each.className} ${each.textContent.trim()}: ${ratio}`);
  }
  return bad;
})()"""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    """One browser for all: what its pages complained of is an error."""
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Chromium) -> Chromium:
    """A tab of a desktop's size; no script fails in it, and its policy forbids nothing of ours."""
    browser.events.clear()
    browser.scripts(on=True)
    browser.look_like(width=1200, height=900)
    return browser


@contextmanager
def visited(
    page: Chromium, supervisor: Running, bot: str = "echo", *, until: str = "verified"
) -> Iterator[str]:
    """Open the page as one who was told its address, and leave it before the supervisor ends."""
    supervisor.wait(until, bot=bot)
    url = visitor(supervisor).url
    page.go(url)
    try:
        yield url
        trouble = page.trouble
    finally:
        page.go("about:blank")
    assert not trouble


def sideways(page: Chromium) -> int:
    """Return by how much the page is wider than its window."""
    return int(page.run("document.documentElement.scrollWidth - window.innerWidth"))


def test_a_person_links_it_and_restarts_it_and_sees_all_of_that(
    folder: Folder, page: Chromium
) -> None:
    """The code is there and is scanned; the phases change by themselves; each restart is a row."""
    with running(folder) as supervisor, visited(page, supervisor, until="pairing"):
        page.until(f"{PHASE} === 'pairing' && {LIVE}")
        page.until(f"{CODE}?.complete && {CODE}.naturalWidth > 0")
        page.until("Number(document.querySelector('[data-left]').textContent) > 0")
        assert page.run(CONTRAST) == []
        scan = [sys.executable, "-m", "bot.phone", "scan"]
        env = folder.environment()
        done = subprocess.run(scan, cwd=folder.root, env=env, check=False, timeout=30)
        assert done.returncode == 0
        page.until(f"{PHASE} === 'up' && {ROWS} === 1 && !{CODE}")
        assert page.run("document.title") == "echo: up"
        assert "echo: up" in page.text("#live")
        page.until("document.querySelector('#output').innerText.includes('linked as device')")
        page.until("document.querySelectorAll('.snapshots tbody tr').length >= 1")

        # By keyboard, as far as one can see what one is on.
        after = supervisor.mark()
        page.run("document.querySelector('#bot-2').focus()")
        page.press("Tab")
        assert page.run("document.activeElement.id") == "do-restart"
        page.press("Enter", loads=True)
        assert supervisor.restarted(after)["reason"] == "manual"
        page.until(f"{PHASE} === 'up' && {ROWS} === 2")
        assert "restarted by hand" in page.text(".timeline > li")
        assert "a restart was asked for" in page.text("#said")
        assert page.run("document.querySelector('.timeline .offline') !== null")
        page.press("Tab")
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"

        # What a save does is a row as well, in the open page; and the table says the same.
        after = supervisor.mark()
        ping = folder.root / "bot" / "commands" / "ping.py"
        folder.replace("bot/commands/ping.py", ping.read_text() + "\n# another\n")
        record = supervisor.restarted(after)
        page.until(f"{ROWS} === 3")
        assert "ping.py changed" in page.text(".timeline > li")
        page.click("#timeline-table summary")
        table = page.text("#timeline-table tbody tr")
        assert f"{record['standby_s'] * 1000:.0f} ms" in table

        for width in (1200, 360):
            page.look_like(width=width, height=740, dark=width == 360)
            assert sideways(page) <= 0


@pytest.mark.long
def test_what_changes_a_session_is_shown_and_asked_first(linked: Folder, page: Chromium) -> None:
    """A restore says what it would do; clear wants the session's id. Before, nothing is changed."""
    with running(linked) as supervisor, visited(page, supervisor) as url:
        page.click("#do-snapshot", loads=True)
        assert "snapshot session-" in page.text("#said")
        after = supervisor.mark_now()
        page.click(".snapshots tbody tr:last-child a", loads=True)
        said = page.text("main")
        assert "Nothing has been changed yet" in said
        assert "goes to quarantine" in said
        assert "the same device" in said
        page.click("a.button", loads=True)
        assert page.text("h1") == "echo"
        assert not supervisor.seen("session_restored", after)
        page.click(".snapshots tbody tr:last-child a", loads=True)
        page.click("#do-restore", loads=True)
        supervisor.wait("session_restored", after)
        assert "restored from session-" in page.text("#said")
        page.until(f"{PHASE} === 'up'")

        after = supervisor.mark_now()
        page.click("#do-clear", loads=True)
        page.run("document.querySelector('#typed').value = 'echo'")
        page.click("#do-clear", loads=True)
        assert "nothing was changed" in page.text("#wrong")
        assert page.run("document.activeElement") is not None
        assert not supervisor.seen("session_cleared", after)
        page.run(f"document.querySelector('#typed').value = '{PHONE}'")
        page.click("#do-clear", loads=True)
        supervisor.wait("session_cleared", after)
        page.until(f"{PHASE} === 'pairing' && {CODE}?.complete")
        assert page.run("location.href") == f"{url}bot/echo"


@pytest.mark.long
def test_without_scripts_all_can_be_read_and_done(linked: Folder, page: Chromium) -> None:
    """The page is whole, and its forms are forms."""
    page.scripts(on=False)
    with running(linked) as supervisor, visited(page, supervisor):
        assert page.text("h1") == "echo"
        assert "online as device" in page.text("#output")
        assert "load this page anew" in page.text("#feed")
        assert page.run("document.querySelector('#tools').hidden")
        after = supervisor.mark()
        page.click("#do-restart", loads=True)
        supervisor.restarted(after)
        page.click("a[aria-current]", loads=True)
        assert "restarted by hand" in page.text(".timeline > li")


@pytest.mark.long
def test_output_follows_and_waits_when_it_is_told_to(
    new_folder: Callable[..., Folder], page: Chromium
) -> None:
    """Lines come as they are printed; paused they wait; the last 500 stay."""
    config = """
[bot.loud]
command = ["/bin/sh", "-c", "seq 1 700; echo up; while read line; do echo \\"$line\\"; done"]
session = false
ready = { log = "up" }
"""
    folder = new_folder(config)
    fifo = folder.root / "to-it"
    config = config.replace("while read", f"exec < {fifo}; while read")
    folder.write("config.toml", config)
    subprocess.run(["mkfifo", str(fifo)], check=True)
    with (
        running(folder) as supervisor,
        fifo.open("w") as to_it,
        visited(page, supervisor, "loud", until="ready"),
    ):
        page.until(LIVE)
        page.until("document.querySelector('#output').innerText.endsWith('up')")
        assert page.run("document.querySelectorAll('#output .line').length") == 500
        assert page.run("output.scrollTop + output.clientHeight > output.scrollHeight - 24")
        to_it.write("first\n")
        to_it.flush()
        page.until("document.querySelector('#output').innerText.endsWith('first')")
        page.click("#pause")
        to_it.write("<b>bold</b>\n")
        to_it.flush()
        page.until("document.querySelector('#pause').textContent === 'Go on (1)'")
        assert "bold" not in page.text("#output")
        page.click("#pause")
        page.until("document.querySelector('#output').innerText.endsWith('<b>bold</b>')")
        page.run("document.querySelector('#output').scrollTop = 0")
        page.until("!document.querySelector('#follow').checked")
        to_it.write("more\n")
        to_it.flush()
        page.until("document.querySelector('#output').innerText.endsWith('more')")
        assert page.run("document.querySelector('#output').scrollTop") == 0


@pytest.mark.long
def test_an_open_page_goes_on_after_an_upgrade(linked: Folder, page: Chromium) -> None:
    """By itself, at the same address; what happens then is seen as before."""
    with running(linked) as supervisor:
        supervisor.wait("verified", bot="echo")
        page.go(visitor(supervisor).url)
        page.until(LIVE)
        page.run("document.querySelector('#feed').textContent = 'to be told anew'")
        done = linked.stillhere("upgrade", timeout_s=60)
        assert done.returncode == 0, done.stderr
        page.until(LIVE)
        rows = page.run(ROWS)
        after = supervisor.mark()
        supervisor.client.call("restart", bot="echo")
        supervisor.restarted(after)
        page.until(f"{ROWS} === {rows + 1} && {PHASE} === 'up'")
        page.go("about:blank")


@pytest.mark.long
def test_whoever_does_not_see_it_or_has_no_mouse_can_use_it(linked: Folder, page: Chromium) -> None:
    """Landmarks, headings, names; contrast in light and dark; focus stays where a part changes."""
    with running(linked) as supervisor, visited(page, supervisor) as url:
        page.until(f"{LIVE} && document.querySelectorAll('.snapshots tbody tr').length > 0")
        page.call("Accessibility.enable")
        restore = page.run("document.querySelector('.snapshots a').href").removeprefix(url)
        for path in ("bot/echo", "bot/server", "bot/echo/clear", restore):
            page.go(url + path)
            tree = page.call("Accessibility.getFullAXTree")["nodes"]
            seen = [
                (node["role"]["value"], node.get("name", {}).get("value", ""))
                for node in tree
                if not node.get("ignored")
            ]
            roles = [role for role, _ in seen]
            assert roles.count("main") == roles.count("banner") == 1
            assert [role for role, name in seen if not name and role in NAMED] == []
            levels = page.run(
                "[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))"
            )
            assert levels[0] == 1
            assert levels.count(1) == 1
            for dark in (False, True):
                page.look_like(width=1200, height=900, dark=dark)
                assert page.run(CONTRAST) == []
        page.look_like(width=1200, height=900, still=True)
        page.go(f"{url}bot/echo")
        page.until(LIVE)
        assert page.run("document.getAnimations().length") == 0
        page.run("document.querySelector('.timeline > li').focus()")
        before = page.run("document.activeElement.id")
        page.until("getComputedStyle(document.querySelector('.parts')).display === 'flex'")
        after = supervisor.mark()
        supervisor.client.call("restart", bot="echo")
        supervisor.restarted(after)
        rows = "document.querySelectorAll('.timeline > li')"
        page.until(f"{rows}.length > 1 && {rows}[0].id !== '{before}'")
        assert page.run("document.activeElement.id") == before
