"""A real service tells a person, by a command and by a webhook; no bot ever waits for that."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.system.harness import SHIPPED, WAIT_S, Folder, link, running

TOKEN = "t0p-s3cret"  # noqa: S105 - no secret of anybody's
HOOK = """#!/bin/sh
cat >> told.jsonl
echo "heard of $STILLHERE_ALERT"
"""


class Inbox:
    """A web server that keeps what is posted; while `held`, it answers nobody."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.grown = threading.Condition()
        self.go_on = threading.Event()
        self.go_on.set()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.go_on.wait(WAIT_S)
                with inbox.grown:
                    inbox.got.append(json.loads(body))
                    inbox.grown.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/{TOKEN}"

    def wait(self, kind: str, status: str) -> dict[str, Any]:
        """Return the first message of that kind."""

        def found() -> dict[str, Any] | None:
            return next((m for m in self.got if (m["kind"], m["status"]) == (kind, status)), None)

        with self.grown:
            assert self.grown.wait_for(found, WAIT_S), self.got
            message = found()
        assert message is not None
        return message


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Serve for the block."""
    found = Inbox()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        found.go_on.set()
        found.server.shutdown()
        thread.join(WAIT_S)
        found.server.server_close()


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
    with inbox() as box:
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
        hooked = [json.loads(line) for line in (folder.root / "told.jsonl").open()]
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
    with inbox() as box:
        box.go_on.clear()
        with_alerts(folder, box.url, "#!/bin/sh\ntrap '' TERM\ntail -f /dev/null & wait\n", bots)
        with running(folder, "run") as supervisor:
            supervisor.wait("alert", bot="broken", kind="failed")
            assert folder.stillhere("restart", "well").returncode == 0
            assert folder.stillhere("start", "broken").returncode != 0
            supervisor.wait("failed", supervisor.mark() - 1, bot="broken")
            assert folder.json("status")["bots"]["well"]["phase"] == "online"
            assert supervisor.stop() == 3
        # The fixture of the folder sees that nothing is left of the hook.


def test_a_message_can_be_tried_out_without_a_supervisor(folder: Folder) -> None:
    """`alert --test`: what came of each way; what is shown holds no token, nor does --json."""
    with inbox() as box:
        with_alerts(folder, box.url)
        shown = folder.stillhere("alert")
        assert shown.stdout == "command: ./hook.sh\nwebhook: a URL that is not shown\n"
        done = folder.stillhere("alert", "--test")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "command: sent\n  it said: heard of test\nwebhook: sent\n"
        told = box.wait("test", "open")
        assert (told["bot"], told["severity"]) == ("stillhere", "info")
        assert folder.json("alert", "--test")["webhook"] == {"ok": True, "why": "", "said": ""}
    gone = folder.stillhere("alert", "--test")  # nobody listens there any more
    assert gone.returncode == 1
    assert "webhook: not sent: it could not be reached: Connection refused\n" in gone.stdout
    assert TOKEN not in gone.stdout + gone.stderr


def test_without_anybody_to_tell_it_says_what_to_set(folder: Folder) -> None:
    """And a test that tells nobody has failed."""
    done = folder.stillhere("alert")
    text = "nobody is told: set `command` or `webhook` in [alerts]\n"
    assert (done.returncode, done.stdout) == (0, text)
    assert folder.stillhere("alert", "--test").returncode == 1


def test_another_config_tells_another_address(folder: Folder) -> None:
    """A reload takes it; what is still so is told there when it is due again."""
    crash = """
[bot.broken]
command = ["/bin/sh", "-c", "exit 3"]
ready = { log = "x" }
restart = { intensity = [1, 60], backoff_s = [0.01, 0.01] }
"""
    with inbox() as first, inbox() as second:
        with_alerts(folder, first.url, bots=crash)
        with running(folder, "run") as supervisor:
            first.wait("failed", "open")
            with_alerts(folder, second.url, bots=crash)
            assert folder.stillhere("reload").returncode == 0
            assert second.wait("failed", "open")["bot"] == "broken"
            assert supervisor.stop() == 3
