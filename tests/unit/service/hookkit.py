"""A web server on this machine that alerts are posted to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_S = 20.0
TOKEN = "t0p-s3cret"  # noqa: S105 - no secret of anybody's

Answer = tuple[int, dict[str, str]]


class Hooks:
    """Answers as it is told, then well, and keeps what it got; without `go_on`, it hangs."""

    def __init__(self, answers: list[Answer]) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers = answers
        self.grown = threading.Condition()
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Event()
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hooks.asked.set()
                hooks.go_on.wait(WAIT_S)
                with hooks.grown:
                    hooks.got.append((self.path, dict(self.headers), body))
                    hooks.grown.notify_all()
                status, headers = hooks.answers.pop(0) if hooks.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/{TOKEN}"

    def wait(self, kind: str, status: str) -> dict[str, Any]:
        """Return the first alert of that kind."""

        def found() -> dict[str, Any] | None:
            told: list[dict[str, Any]] = [json.loads(body) for *_, body in self.got]
            return next((m for m in told if (m["kind"], m["status"]) == (kind, status)), None)

        with self.grown:
            assert self.grown.wait_for(found, WAIT_S), self.got
            message = found()
        assert message is not None
        return message


@contextmanager
def hooks(*answers: Answer) -> Iterator[Hooks]:
    """Serve for the block."""
    found = Hooks(list(answers))
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        found.go_on.set()
        found.server.shutdown()
        thread.join(WAIT_S)
        found.server.server_close()
