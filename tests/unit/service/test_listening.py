"""Where metrics may be served: to whom, and what is there already."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.config.model import MetricsConfig
from supervisor.core.errors import ConfigError, SupervisorError
from supervisor.service.monitoring import listening
from supervisor.service.monitoring.listening import Listening

Found = list[tuple[int, int, int, str, tuple[str, int]]]


@contextmanager
def listens(where: str, *, public: bool = False) -> Iterator[Listening]:
    """Listen there, and end it."""
    found = asyncio.run(listening.listen(MetricsConfig(listen=where, public=public)))
    try:
        yield found
    finally:
        found.remove_path()
        for each in found.sockets:
            each.close()


def refused(where: str, *, public: bool = False) -> SupervisorError:
    """Return the error of listening there."""
    with pytest.raises(SupervisorError) as found, listens(where, public=public):
        pass
    return found.value


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""

    def found(_host: str, port: int, **_: int) -> Found:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                0,
                "",
                (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: found(host, port))


@contextmanager
def socket_at(path: Path, *, backlog: int | None = 5) -> Iterator[socket.socket]:
    """Have a socket there; `backlog` None: one that refuses everybody."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        if backlog is not None:
            other.listen(backlog)
        yield other


# Who can reach it.


@pytest.mark.parametrize("where", ["127.0.0.1:0", "127.8.7.6:0", "localhost:0"])
def test_this_machine_s_own_addresses_are_served(where: str) -> None:
    """And one can connect."""
    with listens(where) as found:
        assert found.sockets
        with socket.create_connection(found.sockets[0].getsockname()[:2]):
            pass


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0"])
def test_an_address_of_others_is_refused_unless_public(where: str) -> None:
    """Nothing listens where others come in unasked; the error says what allows it."""
    error = refused(where)
    assert isinstance(error, ConfigError)
    assert "metrics.listen" in str(error)
    assert "which others can reach" in str(error)
    assert "metrics.public = true" in (error.hint or "")


def test_public_is_asked_for_and_served() -> None:
    """To every name: a proxy in front has its own."""
    with listens("0.0.0.0:0", public=True) as found:
        assert found.sockets[0].getsockname()[0] == "0.0.0.0"  # noqa: S104 - what was asked for
        assert found.serves is None


@pytest.mark.parametrize("addresses", [("127.0.0.1", "192.0.2.7"), ("192.0.2.7", "::1")])
def test_one_foreign_address_of_a_name_is_enough(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """A name is believed only if all that it leads to is this machine; the stranger is named."""
    resolves(monkeypatch, *addresses)
    error = str(refused("metrics.example:0"))
    assert "192.0.2.7" in error
    assert "127.0.0.1" not in error


def test_every_address_of_a_name_is_listened_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects may take any of them."""
    resolves(monkeypatch, "127.0.0.1", "127.0.0.2")
    with listens("metrics.example:0") as found:
        heard = [each.getsockname()[0] for each in found.sockets]
    assert heard == ["127.0.0.1", "127.0.0.2"]


def test_if_one_address_is_taken_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a service would be found out only by who asks at the other half."""
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        resolves(monkeypatch, "127.0.0.1", "127.0.0.2")
        refused(f"metrics.example:{port}")
        with socket.create_server(("127.0.0.1", port)):
            pass  # it is free


def test_a_busy_port_names_the_key() -> None:
    """So that one finds the line to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        error = str(refused(where))
    assert f'metrics.listen: cannot listen at "{where}": Address already in use' in error


def test_a_name_that_leads_nowhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key, the name and why."""

    def fails(*_: object, **__: object) -> Found:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert "metrics.listen: metrics.invalid can't be resolved" in str(refused("metrics.invalid:0"))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST:9464", True),
        ("localhost.", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9", True),
        ("[::1]:9464", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.0.2.1", False),
        ("localhost:x", False),
        ("a@localhost", False),
        ("", False),
    ],
)
def test_only_names_that_no_stranger_can_set_are_ours(name: str, *, ours: bool) -> None:
    """A page in a browser here can be led to us by its own name; it gets no answer by that."""
    with listens("127.0.0.1:0") as found:
        assert found.serves is not None
        assert found.serves(name) is ours


# A unix socket.


def test_a_unix_socket_is_its_owner_s_alone(tmp_path: Path) -> None:
    """0600 whatever the umask says; it goes when we go."""
    path = tmp_path / "m.sock"
    before = os.umask(0)
    try:
        with listens(f"unix:{path}"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_socket_that_refuses_is_replaced(tmp_path: Path) -> None:
    """A dead supervisor left it."""
    path = tmp_path / "m.sock"
    with socket_at(path):
        pass
    with listens(f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize("full", [False, True])
def test_a_socket_at_which_somebody_listens_stays(tmp_path: Path, *, full: bool) -> None:
    """Even one whose queue is full: it is busy, not dead."""
    path = tmp_path / "m.sock"
    with socket_at(path, backlog=0), socket.socket(socket.AF_UNIX) as client:
        if full:
            client.connect(str(path))
        assert "another process listens at" in str(refused(f"unix:{path}"))
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_never_removed(tmp_path: Path, kind: str) -> None:
    """A mistyped path costs nobody a file; a link is not followed."""
    path = tmp_path / "m.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket_at(tmp_path / "other.sock"):
            pass
        path.symlink_to("other.sock")
    assert "is there already and is no socket" in str(refused(f"unix:{path}"))
    assert os.path.lexists(path)
    assert kind != "link" or (tmp_path / "other.sock").is_socket()


@pytest.mark.parametrize("name", ["missing/m.sock", "x" * 200])
def test_a_path_that_cannot_be_names_the_key(tmp_path: Path, name: str) -> None:
    """No folder, or more than a socket's address holds."""
    assert "metrics.listen: cannot listen at" in str(refused(f"unix:{tmp_path / name}"))


def test_only_our_own_file_is_removed(tmp_path: Path) -> None:
    """Somebody has put another one in its place meanwhile: that one stays."""
    path = tmp_path / "m.sock"
    with listens(f"unix:{path}"):
        path.rename(tmp_path / "ours")  # else its number could be used again
        path.write_text("another's")
    assert path.read_text() == "another's"
