"""Where metrics and health are served: the sockets of `[metrics] listen`. It serves nothing.

Only this machine can reach them unless `public = true`; a name is believed only if all of its
addresses are loopback.
"""

import asyncio
import errno
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.config.model import MetricsConfig
from supervisor.core.errors import ConfigError, SupervisorError

KEY = "metrics.listen"
# A resolver that does not answer must not keep the bots down for longer.
RESOLVE_S = 5.0
_BACKLOG = 64
# As getaddrinfo(3) returns them: family, kind, protocol, name, and what to bind to.
_Place = tuple[str, int] | tuple[str, int, int, int]
_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, _Place]
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,64}\]|[A-Za-z0-9._-]{1,255})(?::[0-9]{1,5})?")


@dataclass(slots=True)
class Listening:
    """Bound, listening sockets. `serves`: which names in a request are ours; None: any."""

    sockets: list[socket.socket]
    serves: Callable[[str], bool] | None = None
    path: Path | None = None
    _inode: tuple[int, int] = field(default=(0, 0))

    def remove_path(self) -> None:
        """Remove our unix socket's file, if it is still ours."""
        if self.path is not None:
            with suppress(OSError):
                found = self.path.lstat()
                if (found.st_dev, found.st_ino) == self._inode:
                    self.path.unlink()


async def listen(config: MetricsConfig) -> Listening:
    """Listen where the config says.

    Raises: ConfigError where others could reach it unasked; SupervisorError if it can't be done.
    """
    if config.listen.startswith("unix:"):
        return _listen_unix(Path(config.listen.removeprefix("unix:")))
    host, _, port = config.listen.rpartition(":")
    host = host.strip("[]")
    found = await _resolve(host, int(port))
    strangers = sorted({str(address[4][0]) for address in found if not _loopback(address[4][0])})
    if strangers and not config.public:
        problem = (
            f'{KEY}: found "{config.listen}", which others can reach ({", ".join(strangers)});'
            " needs a loopback address, or a unix socket"
        )
        raise ConfigError([problem], "to serve it to others all the same: metrics.public = true")
    sockets = _bind_all(config.listen, found)
    return Listening(sockets, None if config.public else lambda name: _ours(name, host))


def _loopback(address: object) -> bool:
    try:
        return ipaddress.ip_address(str(address).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _ours(name: str, host: str) -> bool:
    """Say whether a Host field is one that leads here without a foreign resolver's help."""
    found = _HOST.fullmatch(name)
    if found is None:
        return False
    bare = found[1].strip("[]").lower().removesuffix(".")
    return bare in ("localhost", host.lower()) or _loopback(bare)


async def _resolve(host: str, port: int) -> list[_Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
    except TimeoutError:
        why = f"no resolver answered in {RESOLVE_S:g} s"
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
    else:
        return list(dict.fromkeys(found))  # type: ignore[arg-type] # IP families only, by `type`
    raise SupervisorError(
        f"{KEY}: {host} can't be resolved: {why}", "an address needs no resolver: 127.0.0.1"
    )


def _bind_all(where: str, addresses: list[_Address]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        try:
            sockets.append(_bind(family, kind, protocol, address))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                missing = error  # `localhost` has a ::1 on machines without IPv6, too
                continue
            for each in sockets:
                each.close()
            raise _cannot(where, error) from error
    if not sockets:
        raise _cannot(where, missing)
    return sockets


def _bind(family: int, kind: int, protocol: int, address: _Place) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        # Else a new supervisor could not listen for a minute where an old one answered.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _cannot(where: str, error: OSError | None) -> SupervisorError:
    why = "no address of it is this machine's" if error is None else os.strerror(error.errno or 0)
    taken = error is not None and error.errno == errno.EADDRINUSE
    hint = "free it, or choose another one" if taken else f"choose another {KEY}"
    return SupervisorError(f'{KEY}: cannot listen at "{where}": {why}', hint)


def _listen_unix(path: Path) -> Listening:
    where = f"unix:{path}"
    _replace_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        # Before it listens nobody can connect, so it was never open to others.
        path.chmod(0o600)
        found = path.lstat()
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno is None:  # Python's own: the path is longer than sun_path
            raise SupervisorError(
                f'{KEY}: cannot listen at "{where}": {error}', "choose a shorter path"
            ) from error
        raise _cannot(where, error) from error
    return Listening([listener], None, path, (found.st_dev, found.st_ino))


def _replace_stale(path: Path) -> None:
    """Remove a socket at which nobody listens. Raises: SupervisorError for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot(f"unix:{path}", error) from error
    if not stat.S_ISSOCK(found.st_mode):
        raise SupervisorError(
            f"{KEY}: {path} is there already and is no socket", "move it away, or name another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 - the socket module's signature
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a full queue: somebody listens
                raise _cannot(f"unix:{path}", error) from error
    raise SupervisorError(
        f"{KEY}: another process listens at {path}", "stop it, or name another path"
    )
