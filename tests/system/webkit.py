"""Visits a supervisor's page as any program on this machine could: over a socket of its own."""

import contextlib
import http.client
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import psutil

from tests.system.harness import WAIT_S, Running

# What a browser sends along with a form of our own page, for which we asked for no referrer.
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
_KEY = re.compile(r'name="key" value="([0-9a-f]+)"')


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Visitor:
    """One who knows the address. `url` ends with a slash."""

    url: str
    host: str = field(init=False)
    port: int = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        found = urlsplit(self.url)
        assert found.hostname is not None
        assert found.port is not None
        self.host, self.port, self.path = found.hostname, found.port, found.path

    @property
    def token(self) -> str:
        """The secret."""
        return self.path.strip("/")

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for a path of the port, the token included; follow nothing."""
        body = None if form is None else urlencode(form)
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=WAIT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)

    def get(self, name: str) -> Answer:
        """Look at one of its pages."""
        return self.ask(self.path + name)

    def key(self, page: str) -> str:
        """Return what the forms of a page send along."""
        found = _KEY.search(self.get(page).text)
        assert found is not None
        return found[1]

    def post(self, name: str, **form: str) -> Answer:
        """Send a form, as a browser does from our own page."""
        return self.ask(self.path + name, "POST", form=form, headers=OURS)

    def raw(self) -> socket.socket:
        """Connect, and say nothing."""
        return socket.create_connection((self.host, self.port), timeout=WAIT_S)


def visitor(supervisor: Running) -> Visitor:
    """Return one who was told the address."""
    return Visitor(supervisor.client.call("web")["url"])


def page_process(supervisor: Running) -> psutil.Process | None:
    """Return the page's own process."""
    children = psutil.Process(supervisor.process.pid).children()
    found = [child for child in children if "supervisor.web" in child.cmdline()]
    assert len(found) <= 1
    return found[0] if found else None
