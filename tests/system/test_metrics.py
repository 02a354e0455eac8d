"""Metrics and health of a real supervisor, as Prometheus and a probe ask for them."""

import http.client
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as plain_families

from tests.system.crowd import NINE, WELL, crowd
from tests.system.harness import PHONE, Folder, Running, running

LISTEN = '[metrics]\nlisten = "unix:{root}/m.sock"\n'
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
Samples = dict[str, dict[str, float]]


class Local(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        """Connect there."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def get(path: str, where: Path | int, **headers: str) -> tuple[int, str, str]:
    """Return the status, the content type and the text of a page."""
    if isinstance(where, Path):
        connection: http.client.HTTPConnection = Local(where)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", where, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type", ""), answer.read().decode()
    finally:
        connection.close()


def samples(where: Path | int) -> dict[str, Samples]:
    """Return, of each bot, the samples of `/metrics` by name and other labels."""
    status, kind, text = get("/metrics", where)
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    found: dict[str, Samples] = {}
    for family in plain_families(text):
        for name, labels, value, *_ in family.samples:
            bot = labels.pop("bot", "")
            key = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
            found.setdefault(bot, {}).setdefault(name, {})[key] = value
    return found


def readyz(where: Path | int) -> tuple[int, Any]:
    """Return the status and the object of `/readyz`."""
    status, kind, text = get("/readyz", where)
    assert kind == "application/json"
    return status, json.loads(text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the supervisor of `new_folder` is told to listen."""
    return tmp_path / "project" / "m.sock"


def test_a_crash_loop_is_counted_for_whom_it_is(
    new_folder: Callable[..., Folder], place: Path
) -> None:
    """Of ten bots one crashes until it is given up: the figures of the other nine stay at zero."""
    folder = new_folder(LISTEN.format(root=place.parent) + crowd(4))
    with running(folder, "run") as supervisor:
        for name in NINE:
            supervisor.wait("restarted", bot=name)
        supervisor.wait("failed", bot="loops")
        seen = samples(place)
        loops = seen["loops"]
        assert loops["stillhere_bot_failures_total"] == {"": 1}
        assert loops["stillhere_bot_backoffs_total"] == {"": 4}
        assert loops["stillhere_bot_phase"]["phase=failed"] == 1
        assert loops["stillhere_bot_up"] == {"": 0}
        supervisor.mark_now()
        back = len([e for e in supervisor.seen("restarted", bot="loops")
                    if e["record"]["reason"] == "crash"])  # fmt: skip
        assert loops["stillhere_bot_restarts_total"]["reason=crash"] == back
        for name in NINE:
            bot = seen[name]
            assert bot["stillhere_bot_up"] == {"": 1}
            for metric in ("gap_seconds", "restore_seconds"):
                assert bot[f"stillhere_{metric}_count"] == {"": 0}
                assert set(bot[f"stillhere_{metric}_bucket"].values()) == {0}
            for metric in ("backoffs", "failures", "hangs"):
                assert bot[f"stillhere_bot_{metric}_total"] == {"": 0}
            assert set(bot["stillhere_bot_restarts_total"].values()) == {0}
            assert bot["stillhere_bot_processes"] == {"": 1}
        status, page = readyz(place)
        assert (status, page["needs_a_person"]) == (200, {"loops": "has failed"})
        assert sorted(page["online"]) == NINE


def test_the_pages_follow_a_bot_through_its_life(
    new_folder: Callable[..., Folder], place: Path
) -> None:
    """A restart by hand with its gap, a stop by a person; and the socket goes with the end."""
    folder = new_folder(LISTEN.format(root=place.parent) + WELL.format(name="echo"))
    with running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="echo")
        assert readyz(place) == (
            200,
            {"ready": True, "online": ["echo"], "needs_a_person": {}, "stopped": [],
             "not_ready": {}},
        )  # fmt: skip
        status, _, text = get("/healthz", place)
        assert (status, json.loads(text)["healthy"]) == (200, True)
        assert get("/else", place)[0] == 404
        mark = supervisor.mark()
        assert folder.stillhere("restart", "echo").returncode == 0
        gap_s = supervisor.restarted(mark)["gap_s"]
        bot = samples(place)["echo"]
        assert bot["stillhere_bot_restarts_total"]["reason=manual"] == 1
        assert bot["stillhere_gap_seconds_count"] == {"": 1}
        assert bot["stillhere_gap_seconds_sum"][""] == pytest.approx(gap_s)
        assert folder.stillhere("stop", "echo").returncode == 0
        assert samples(place)["echo"]["stillhere_bot_wanted"] == {"": 0}
        assert readyz(place)[1]["stopped"] == ["echo"]
        assert supervisor.stop() == 0
    assert not place.exists()


def test_who_is_not_there_yet_is_not_ready(new_folder: Callable[..., Folder], place: Path) -> None:
    """503 and the bot's name until it is; then 200."""
    waits = (
        '[bot.echo]\ncommand = ["/bin/sh", "-c", "read line < gate; echo here; exec cat gate"]\n'
    )
    folder = new_folder(LISTEN.format(root=place.parent) + waits + 'ready = { log = "here" }\n')
    gate = folder.root / "gate"
    make_gate(gate)
    with running(folder, "run") as supervisor:
        supervisor.wait("spawned", bot="echo")
        status, page = readyz(place)
        assert (status, page["ready"], list(page["not_ready"])) == (503, False, ["echo"])
        with gate.open("w") as opened:
            opened.write("go\n")
            opened.flush()
            supervisor.wait("restarted", bot="echo")
            assert readyz(place)[0] == 200


def make_gate(path: Path) -> None:
    """Make a pipe at which a bot waits."""
    import os  # noqa: PLC0415 - here alone

    os.mkfifo(path)


def test_a_session_s_figures_hold_no_secret(linked: Folder) -> None:
    """Both formats, of the bot that ships: its snapshots are there, its number is not."""
    place = linked.root / "m.sock"
    config = (linked.root / "config.toml").read_text()
    linked.write("config.toml", config + LISTEN.format(root=linked.root))
    with running(linked) as supervisor:
        supervisor.wait("restarted", bot="echo")
        bot = samples(place)["echo"]
        assert bot["stillhere_snapshots"]["verdict=good"] >= 1
        assert bot["stillhere_session_links_total"] == {"": 1}
        assert bot["stillhere_snapshot_age_seconds"][""] >= 0
        status, kind, text = get("/metrics", place, Accept=OPENMETRICS)
        assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
        families = list(openmetrics_families(text))  # type: ignore[no-untyped-call] # it has none
        assert "stillhere_bot_up" in {family.name for family in families}
        for page in ("/metrics", "/healthz", "/readyz"):
            told = get(page, place)[2]
            assert PHONE not in told
            assert str(linked.root) not in told


def free_port() -> int:
    """Return a port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def listening_at(port: int) -> str:
    """Return a config that listens there."""
    return f'[metrics]\nlisten = "127.0.0.1:{port}"\n' + WELL.format(name="echo")


def ready(supervisor: Running) -> None:
    """Wait until the bot is up."""
    supervisor.wait("restarted", bot="echo")


def test_a_busy_port_is_an_error_before_any_bot_starts(new_folder: Callable[..., Folder]) -> None:
    """It names the key, and nothing was begun."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        folder = new_folder(listening_at(port))
        done = folder.stillhere("run")
    assert done.returncode == 1
    assert re.search(r"metrics\.listen: cannot listen .*Address already in use", done.stderr)
    assert '"spawned"' not in "".join(
        path.read_text() for path in folder.root.rglob("*.jsonl") if path.is_file()
    )


def test_a_reload_moves_it_or_leaves_it(new_folder: Callable[..., Folder]) -> None:
    """To a port that is free: there, with the counts so far; to a busy one: where it was."""
    first, second = free_port(), free_port()
    folder = new_folder(listening_at(first))
    with running(folder, "run") as supervisor:
        ready(supervisor)
        mark = supervisor.mark()
        assert folder.stillhere("restart", "echo").returncode == 0
        supervisor.restarted(mark)
        folder.write("config.toml", listening_at(second))
        assert folder.stillhere("reload").returncode == 0
        bot = samples(second)["echo"]
        assert bot["stillhere_bot_restarts_total"]["reason=manual"] == 1
        with pytest.raises(ConnectionRefusedError):
            get("/readyz", first)
        with socket.create_server(("127.0.0.1", 0)) as other:
            folder.write("config.toml", listening_at(other.getsockname()[1]))
            refused = folder.stillhere("reload")
        assert refused.returncode == 0  # the bots have it; that this is not in place is told
        assert refused.stderr.startswith("not taken: metrics.listen: cannot listen at")
        assert "metrics.listen" in supervisor.wait("reload_incomplete")["why"]
        assert readyz(second)[0] == 200
        page = get("/readyz", second, Host="evil.example")
        assert page[0] == 421
