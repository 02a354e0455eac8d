"""A real homeserver on loopback: Synapse, in an environment of its own, without federation."""

import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "synapse" / "venv" / "bin" / "python"
SECRET = "only on loopback"  # noqa: S105 (for a server that lives for a test)
START_S = 60.0

CONFIG = """
server_name: localhost
pid_file: {root}/pid
listeners:
  - {{port: {port}, bind_addresses: ['127.0.0.1'], type: http, resources: [{{names: [client]}}]}}
database: {{name: sqlite3, args: {{database: {root}/homeserver.db}}}}
log_config: {root}/log.yaml
media_store_path: {root}/media
signing_key_path: {root}/signing.key
registration_shared_secret: {secret}
report_stats: false
trusted_key_servers: []
federation_domain_whitelist: []
presence: {{enabled: false}}
bcrypt_rounds: 4
rc_message: {unlimited}
rc_registration: {unlimited}
rc_login: {{address: {unlimited}, account: {unlimited}, failed_attempts: {unlimited}}}
rc_joins: {{local: {unlimited}, remote: {unlimited}}}
rc_invites: {{per_room: {unlimited}, per_user: {unlimited}, per_issuer: {unlimited}}}
rc_key_requests: {unlimited}
"""
UNLIMITED = "{per_second: 10000, burst_count: 10000}"
LOG = """
version: 1
formatters: {{plain: {{format: '%(asctime)s %(name)s %(levelname)s %(message)s'}}}}
handlers: {{file: {{class: logging.FileHandler, filename: {root}/log, formatter: plain}}}}
root: {{level: WARNING, handlers: [file]}}
"""


class Homeserver:
    """One homeserver. It may be stopped and started again: its data stay."""

    def __init__(self, root: Path, more: str = "") -> None:
        self.root = root
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)
        values = {"root": root, "port": self.port, "secret": SECRET, "unlimited": UNLIMITED}
        (root / "homeserver.yaml").write_text(CONFIG.format(**values) + more)
        (root / "log.yaml").write_text(LOG.format(root=root))
        self._run("--generate-keys").wait(START_S)

    def _run(self, *args: str) -> "subprocess.Popen[bytes]":
        with (self.root / "out").open("ab") as out:
            return subprocess.Popen(
                [PYTHON, "-m", "synapse.app.homeserver", "-c", "homeserver.yaml", *args],
                cwd=self.root,
                env={"PATH": os.environ["PATH"]},
                stdout=out,
                stderr=out,
            )

    def start(self) -> None:
        """Run it; return once it answers."""
        if self._process is not None:
            return
        self._process = self._run()
        until = time.monotonic() + START_S
        while not self._answers():
            said = (self.root / "out").read_text()[-2000:]
            assert time.monotonic() < until, said
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"{self._process.wait(0.05)}: {said}")

    def _answers(self) -> bool:
        try:
            self.call("GET", "/_matrix/client/versions")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def stop(self) -> None:
        """End it, and with it every connection."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """Ask it something; return the JSON of the answer.

        Raises: urllib.error.HTTPError, urllib.error.URLError.
        """
        request = urllib.request.Request(  # noqa: S310 (our own loopback address)
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 (the same)
            return json.load(answer)

    def register(self, name: str, password: str) -> str:
        """Make an account without a device; return its full id."""
        path = "/_synapse/admin/v1/register"
        nonce = self.call("GET", path)["nonce"]
        parts = (nonce, name, password, "notadmin")
        mac = hmac.new(SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        asked = {"nonce": nonce, "username": name, "password": password, "mac": mac}
        made = self.call("POST", path, {**asked, "admin": False})
        self.call("POST", "/_matrix/client/v3/logout", {}, made["access_token"])
        return str(made["user_id"])

    def written_by(self, user: str, room: str, token: str) -> int:
        """Return how many encrypted messages of this user a room has."""
        found, place = 0, ""
        while True:
            path = f"/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100{place}"
            page = self.call("GET", path, token=token)
            theirs = [event for event in page["chunk"] if event["sender"] == user]
            found += len([event for event in theirs if event["type"] == "m.room.encrypted"])
            if not page["chunk"] or "end" not in page:
                return found
            place = f"&from={page['end']}"


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
