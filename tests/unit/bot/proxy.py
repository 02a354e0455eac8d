"""A proxy between bot and server that kills the bot at one exact frame."""

import contextlib
import json
import socket
import subprocess
import threading
from types import TracebackType
from typing import Self

from bot.protocol import read_address
from tests.unit.bot.botkit import World


class CuttingProxy:
    """Kills `victim` when it sends `op`: before the frame is passed on, or after."""

    def __init__(self, here: World, op: str, *, after: bool) -> None:
        self.data = here.folder / "proxied"
        self.data.mkdir()
        self.victim: subprocess.Popen[str] | None = None
        self._op = op
        self._after = after
        address = read_address(here.data)
        assert address is not None
        self._server = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        (self.data / "address").write_text(f"127.0.0.1:{port}")
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        self._listener.settimeout(10)
        bot, _ = self._listener.accept()
        with bot, socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._pass_back, args=(server, bot))
            back.start()
            with bot.makefile("rb") as lines, contextlib.suppress(OSError):
                for line in lines:
                    hit = json.loads(line)["op"] == self._op
                    if hit and not self._after:
                        self._kill()
                        break
                    server.sendall(line)
                    if hit:
                        self._kill()
                        break
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join(10)

    def _pass_back(self, server: socket.socket, bot: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                bot.sendall(data)

    def _kill(self) -> None:
        if self.victim is not None:
            self.victim.kill()
            self.victim.wait(10)
