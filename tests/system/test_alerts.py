"""A real service tells a person, by a command and by a webhook; no bot ever waits for that."""

import json
import os
import select
from pathlib import Path

import pytest

from tests.system.harness import SHIPPED, WAIT_S, Folder, alive, link, running
from tests.unit.service.hookkit import TOKEN, hooks

HOOK = """#!/bin/sh
cat >> told.jsonl
echo "heard of $STILLHERE_ALERT"
"""


def with_alerts(folder: Folder, url: str, hook: str = HOOK, bots: str = SHIPPED) -> None:
    """Have the folder's service tell by both ways."""
    folder.write("hook.sh", hook).chmod(0o755)
    folder.write(
        "config.toml",
        # What is well is settled within `repeat_s`.
        f'[alerts]\ncommand = ["./hook.sh"]\nwebhook = "{url}"\nrepeat_s = 1\n{bots}',
    )


def everything_written(folder: Folder) -> bytes:
    """Return all files of a folder, its config apart."""
    files = [p for p in folder.root.rglob("*") if p.is_file() and p.name != "config.toml"]
    return b"".join(path.read_bytes() for path in files)


def titles_and_environments(folder: Folder) -> bytes:
    """Return what any user, or any child, sees of the processes of a folder."""
    found = b""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if (entry / "cwd").readlink() == folder.root:
                    found += (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
    return found


def test_a_person_is_told_to_scan_and_that_it_is_over(folder: Folder) -> None:
    """By both ways, in a service; the URL stands in the config alone."""
    with hooks() as box:
        with_alerts(folder, box.url)
        with running(folder, "run") as supervisor:
            told = box.wait("pairing", "open")
            assert (told["bot"], told["severity"]) == ("echo", "critical")
            assert told["what_to_do"] == "stillhere link echo, and scan the QR code with the phone"
            heard = supervisor.wait("alert_delivered", by="command", kind="pairing", status="open")
            assert heard["said"] == "heard of pairing"
            with link(supervisor):
                over = box.wait("pairing", "resolved")
            assert over["fields"]["open_s"] >= 0
            supervisor.wait("alert_delivered", by="command", kind="pairing", status="resolved")
            shown = titles_and_environments(folder)
            assert b"supervisor" in shown
            assert TOKEN.encode() not in shown
            assert TOKEN not in supervisor.console
            assert supervisor.stop() == 0
        hooked = [
            json.loads(line) for line in (folder.root / "told.jsonl").read_text().splitlines()
        ]
        assert [(m["kind"], m["status"]) for m in hooked][:1] == [("pairing", "open")]
        assert TOKEN.encode() not in everything_written(folder)


def test_no_bot_waits_while_nobody_answers(folder: Folder) -> None:
    """A hook that never ends and a server that never answers: bots run, fail, and stop as ever.

    The hook and what it started end with the supervisor.
    """
    broken = '[bot.broken]\ncommand = ["/bin/sh", "-c", "exit 3"]\nready = { log = "x" }\n'
    crash = f"{broken}[bot.broken.restart]\nintensity = [1, 60]\nbackoff_s = [0.01, 0.01]\n"
    well = '[bot.well]\ncommand = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]\n'
    bots = f'{crash}{well}ready = {{ log = "here" }}\n'
    with hooks() as box:
        box.go_on.clear()
        with_alerts(folder, box.url, "#!/bin/sh\ntrap '' TERM\ntail -f /dev/null & wait\n", bots)
        with running(folder, "run") as supervisor:
            supervisor.wait("alert", bot="broken", kind="failed")
            place = supervisor.mark_now()
            assert folder.stillhere("restart", "well").returncode == 0
            supervisor.restarted(place, bot="well")
            assert supervisor.status("well")["phase"] == "up"
            assert supervisor.stop() == 3
        # The fixture of the folder sees that nothing is left of the hook.


@pytest.mark.long
def test_another_config_tells_another_address(folder: Folder) -> None:
    """A reload takes it; what is still so is told there when it is due again."""
    crash = """
[bot.broken]
command = ["/bin/sh", "-c", "exit 3"]
ready = { log = "x" }
restart = { intensity = [1, 60], backoff_s = [0.01, 0.01] }
"""
    with hooks() as first, hooks() as second:
        with_alerts(folder, first.url, bots=crash)
        with running(folder, "run") as supervisor:
            first.wait("failed", "open")
            with_alerts(folder, second.url, bots=crash)
            assert folder.stillhere("reload").returncode == 0
            assert second.wait("failed", "open")["bot"] == "broken"
            assert supervisor.stop() == 3


def test_what_is_so_is_told_after_a_reload_and_an_upgrade(folder: Folder) -> None:
    """Of a bot that has failed before anybody was to be told; and then, that it is over."""
    bots = """
[bot.broken]
command = ["/bin/sh", "-c", "test -e mended && echo here && exec tail -f /dev/null; exit 3"]
session = false
ready = { log = "here" }
restart = { no_retry = [3] }
"""
    folder.write("config.toml", bots)
    with hooks() as box, running(folder, "run") as supervisor:
        supervisor.wait("failed", bot="broken")
        with_alerts(folder, box.url, bots=bots)
        assert folder.stillhere("reload").returncode == 0
        box.wait("failed", "open")
        assert folder.stillhere("upgrade", timeout_s=60).returncode == 0
        upgraded = supervisor.mark_now()
        supervisor.wait("alert_delivered", upgraded, by="webhook", kind="failed", status="open")
        folder.write("mended", "")
        assert folder.stillhere("start", "broken").returncode == 0
        assert box.wait("failed", "resolved")["bot"] == "broken"
        assert supervisor.stop() == 0


def test_a_hook_that_hangs_ends_with_an_upgrade(folder: Folder) -> None:
    """The new program would not know it, nor end it; it tells anew what nobody was told of."""
    hook = "#!/bin/sh\necho $$ > hooks\ntrap '' TERM\ntail -f /dev/null & wait\n"
    crash = '[bot.broken]\ncommand = ["/bin/sh", "-c", "exit 3"]\nrestart = { no_retry = [3] }\n'
    folder.write("hook.sh", hook).chmod(0o755)
    folder.write(
        "config.toml", f'[alerts]\ncommand = ["./hook.sh"]\n{crash}ready = {{ log = "x" }}\n'
    )
    os.mkfifo(folder.root / "hooks")
    hooks = os.open(folder.root / "hooks", os.O_RDWR)

    def began() -> int:
        assert select.select([hooks], [], [], WAIT_S)[0]
        return int(os.read(hooks, 100))

    try:
        with running(folder, "run") as supervisor:
            first = began()
            assert folder.stillhere("upgrade", timeout_s=60).returncode == 0
            assert alive(began())
            assert not alive(first)
            assert supervisor.stop() == 3
    finally:
        os.close(hooks)
