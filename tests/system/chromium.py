"""A real Chromium for a test: driven by its own protocol, through two pipes, without a library."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    PROGRAM is None, reason="needs a Chromium on PATH (apt-get install chromium)"
)
ANSWER_S = 20.0

Message = dict[str, Any]


class Chromium:
    """One browser with one tab. What goes wrong in a page is in `trouble`."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._number = 0
        self._buffer = b""
        self.events: list[Message] = []
        # The protocol's pipes are descriptors 3 and 4: a shell puts them there.
        script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, "bash", str(PROGRAM), *_words(profile)],
            pass_fds=[theirs_in, theirs_out],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    # The protocol.

    def call(self, method: str, **params: Any) -> Message:
        """Ask the tab."""
        return self._call(method, self._session, **params)

    def _call(self, method: str, session: str | None = None, **params: Any) -> Message:
        self._number += 1
        asked: Message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            asked["sessionId"] = session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + ANSWER_S
        while True:
            told = self._next(until, method)
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                found: Message = told["result"]
                return found
            self.events.append(told)

    def _next(self, until: float, words: str) -> Message:
        while b"\0" not in self._buffer:
            left = until - time.monotonic()
            ready = select.select([self._in], [], [], max(0.0, left))[0]
            assert ready, f"no answer to {words}"
            piece = os.read(self._in, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        told: Message = json.loads(line)
        return told

    def _event(self, method: str, since: int) -> None:
        until = time.monotonic() + ANSWER_S
        while not any(event.get("method") == method for event in self.events[since:]):
            self.events.append(self._next(until, method))

    # A page.

    def go(self, url: str) -> None:
        """Open an address, and wait until it is loaded."""
        since = len(self.events)
        self.call("Page.navigate", url=url)
        self._event("Page.loadEventFired", since)

    def run(self, script: str) -> Any:
        """Return what an expression, or a promise, comes to in the page."""
        told = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true in the page as it is now."""
        look = f"const look = () => {{ const found = {script}; if (found) done(found);"
        return self.run(
            f"new Promise((done) => {{ {look} else setTimeout(look, 10); }}; look(); }})"
        )

    def click(self, selector: str, *, loads: bool = False) -> None:
        """Click on something; `loads`: another page follows, and is waited for."""
        since = len(self.events)
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        if loads:
            self._event("Page.loadEventFired", since)

    def press(self, key: str, *, loads: bool = False) -> None:
        """Press a key of the keyboard."""
        since = len(self.events)
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"Tab": 9, "Enter": 13}[key]
        same = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **same, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)
        if loads:
            self._event("Page.loadEventFired", since)

    def text(self, selector: str) -> str:
        """Return what stands there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def look_like(
        self, *, width: int, height: int, dark: bool = False, still: bool = False
    ) -> None:
        """Be a screen of that size, of somebody who likes it so."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else ""},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def scripts(self, *, on: bool) -> None:
        """Run the pages' scripts, or none of them."""
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def trouble(self) -> list[str]:
        """All that the pages complained of: errors, and what their policy forbade."""
        self.run("1")  # what was told before is here by then
        found = []
        for event in self.events:
            told = event.get("params", {})
            match event.get("method"):
                case "Runtime.exceptionThrown":
                    found.append(json.dumps(told["exceptionDetails"]))
                case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning"):
                    found.append(json.dumps(told["args"]))
                case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                    found.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        return found

    def close(self) -> None:
        """End it, and all that it started."""
        os.close(self._out)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        os.close(self._in)


def _words(profile: Path) -> list[str]:
    return [
        "--headless=new",
        "--no-sandbox",  # a test may be root; it opens our own pages only
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        "--disable-background-networking",
        "--disable-component-update",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "about:blank",
    ]


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Run a browser for the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(Path(profile))
        try:
            yield browser
        finally:
            browser.close()
