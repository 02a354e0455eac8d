"""What must be seen by nobody else: looked for wherever a whole life leaves a word."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from tests.system.consoles import holders
from tests.system.harness import PHONE, ROOT, Folder, Running, running

CONFIG = """
[logs]
folder = "logs"

[alerts]
webhook = "http://user:{hook}@127.0.0.1:9/{hook}"

[bot.echo]
command = ["python", "{bot}"]
session = "971505760056"
env = {{ SECRETS = "{secrets}" }}
env_file = "secret.env"

[bot.echo.restart]
backoff_s = [0.05, 0.1]
"""
BOT = ROOT / "tests" / "system" / "bots" / "leaky_bot.py"
# In pieces, so that no source has them.
SECRETS = {
    "qr": "2@" + "Qr" * 20 + ",plain,words",
    "token": "t0ken" * 6,
    "key": "kEyMaterial" * 4 + "=",
}
HOOK = "h00k" * 5
LOGIN = "l0gin" * 5
READ = (
    *("status --json", "status", "events --json", "logs", "session list --json"),
    *("session info {id} --json", "session check --json", "session snapshots"),
)
REFUSED = (
    *("session restore --snapshot none", "session export {id} {root}/secret.env"),
    *("session clear none", "restart none", "session import {id} {root}/secret.env"),
)


Said = Callable[[Folder, tuple[str, ...]], str]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    """Return what runs commands, in this process, and returns all that they print."""

    def run(folder: Folder, commands: tuple[str, ...]) -> str:
        found = ""
        for each in commands:
            words = each.format(id=PHONE, root=folder.root).split()
            execute(["--config", str(folder.root / "config.toml"), *words])
            shown = capfd.readouterr()
            assert shown.out or shown.err, each
            found += f"{each}: {shown.out}{shown.err}\n"
        return found

    return run


def asked(supervisor: Running, number: signal.Signals) -> None:
    """Send the bot a signal, and wait for what it then prints."""
    before = supervisor.console.count("it was asked")
    os.kill(supervisor.status()["pid"], number)
    supervisor.until(lambda: supervisor.console.count("it was asked") > before, "asked")


def test_secrets_are_in_no_title_log_event_answer_or_error(
    new_folder: Callable[..., Folder], tmp_path: Path, said: Said
) -> None:
    """QR code, pairing token, session key, webhook, env file: from the pairing to a crash."""
    place = tmp_path / "secrets.json"
    place.write_text(json.dumps(SECRETS))
    recorded = tmp_path / "recorded"
    folder = new_folder(CONFIG.format(hook=HOOK, bot=BOT, secrets=place))
    folder.module = "tests.system.recording_supervisor"
    folder.write("secret.env", f"LOGIN={LOGIN}\n")
    with running(folder, "run", RECORDED=str(recorded)) as supervisor:
        supervisor.wait("pairing", bot="echo")
        supervisor.wait("alert_delayed")
        supervisor.shows("it starts")
        told = said(folder, READ[:1])
        supervisor.client.call("upgrade")  # the payload goes on into the new program
        asked(supervisor, signal.SIGUSR2)
        seen = holders(folder, [SECRETS["qr"], SECRETS["token"], SECRETS["key"], HOOK])
        asked(supervisor, signal.SIGUSR1)
        supervisor.wait("snapshot_taken", bot="echo")
        mark = supervisor.mark_now()
        os.kill(supervisor.status()["pid"], signal.SIGHUP)
        assert supervisor.restarted(mark)["reason"] == "crash"
        supervisor.client.call("stop", bot="echo")
        creds = folder.root / "sessions" / f"session-{PHONE}" / "creds.json"
        os.truncate(creds, creds.stat().st_size - 5)  # torn in the middle of the key
        told += said(folder, ("session check",))
        mark = supervisor.mark_now()
        supervisor.client.call("start", bot="echo", wait=True)
        supervisor.wait("session_restored", mark)
        told += said(folder, (*READ, *REFUSED))
        seen |= holders(folder, [*SECRETS.values(), HOOK])
        supervisor.stop()
    seen |= holders(folder, [*SECRETS.values(), HOOK])
    # The configuration has the webhook, the session and its quarantine the key: as they must.
    kept = {path for path in seen if path.startswith(("sessions/", ".session-cache/packs/"))}
    assert seen - kept == {"config.toml"}
    assert any(path.startswith("sessions/") for path in kept)
    told += supervisor.console + recorded.read_text() + json.dumps(supervisor.events)
    for name, secret in {**SECRETS, "hook": HOOK, "login": LOGIN}.items():
        assert secret not in told, name
    for word in (
        "it was asked: scan [QR code] with token=[masked]",
        "no login",
        "subprocess.Popen",
    ):
        assert word in told
    assert not [path for path in folder.root.rglob("*.log*") if LOGIN in path.read_text()]
