"""The kinds of sessions as the real programs write them today: a browser, and chat libraries."""

import functools
import http.server
import importlib.util
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.session.proof.leveldb import problem
from supervisor.session.proof.profile import KNOWN, profile_for
from tests.unit.session.kindkit import JID, USER
from tests.unit.session.sessionkit import ID, Place, tree

pytestmark = pytest.mark.long

WID = "971505760056:12@c.us"
HOST = "web.whatsapp.com"
# As WhatsApp Web has it: who it is in the one store, the keys in the other.
# The picture comes once the page has said that it is done: the browser is closed after that.
OPEN = """<!doctype html><body><img src="picture"></body><script>
const done = () => fetch("done");
function keys(then) {
  const asked = indexedDB.open("signal-storage", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("keys");
  asked.onsuccess = () => then(asked.result.transaction("keys", "readwrite").objectStore("keys"));
}
"""
LINK = f"""{OPEN}
localStorage.setItem("last-wid-md", JSON.stringify("{WID}"));
keys(store => {{
  store.put("the noise key", "noise");
  store.transaction.oncomplete = done;
}});
</script>"""
SHOW = f"""{OPEN}
keys(store => {{
  const asked = store.get("noise");
  asked.onsuccess = () => {{
    document.body.append(localStorage.getItem("last-wid-md") + " has " + asked.result);
    done();
  }};
}});
</script>"""
# As much as makes a table out of the log, and much of it alike, so that it is packed.
FILL = """<!doctype html><script>
let text = "";
while (text.length < 4000000) text += "line " + Math.random() + " is like the others; ";
localStorage.setItem("big", text);
</script>"""


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name} on the PATH")
    return path


@contextmanager
def whatsapp(folder: Path) -> Iterator[int]:
    """Serve our own pages as that site, on the port that is yielded."""
    folder.mkdir()
    for name, page in {"link": LINK, "show": SHOW, "fill": FILL}.items():
        (folder / f"{name}.html").write_text(page)
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}", "-days", "2"]
    made += ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run([_program("openssl"), *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")

    done = threading.Event()

    class Site(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            """Keep the picture back until the page is done."""
            if self.path == "/done":
                done.set()
            elif self.path == "/picture":
                done.wait(20)
                done.clear()
            super().do_GET()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Site, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _browse(profile: Path, port: int, page: str) -> str:
    done = subprocess.run(
        [
            *(_program("chromium"), "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={profile}", "--ignore-certificate-errors"),
            f"--host-resolver-rules=MAP {HOST} 127.0.0.1:{port}",
            *("--timeout=30000", "--dump-dom", f"https://{HOST}/{page}.html"),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("filled", [False, True], ids=["log", "table"])
def test_a_real_browser_is_still_linked_after_any_damage(place: Place, *, filled: bool) -> None:
    """Whatever file of its two stores is damaged, the device is there again when it starts."""
    with whatsapp(place.root / "site") as port:
        _browse(place.live, port, "link")
        for _time in range(3 * filled):
            _browse(place.live, port, "fill")
        assert profile_for(place.live).name == "chromium"
        assert KNOWN["chromium"].identity(place.live) == WID
        # On a busy machine it is gone before its last megabytes are written, and the next one goes
        # on behind the torn record, and loses what comes then: that is its own damage.
        if torn := problem(str(place.live / "Default" / STORAGE)):
            pytest.skip(f"the browser itself left a torn log ({torn}); a calmer machine would do")
        manager = place.manager()
        manager.note_linked(ID, None)
        place.clock.now += 60
        snapshot = manager.backup(ID)
        assert snapshot.verdict == "good", manager.store.find(ID, snapshot.id).why
        for folder in (STORAGE, INDEXED):
            storage = place.live / "Default" / folder
            wanted = {name: data for name, data in tree(storage).items() if name != "LOCK"}
            assert folder == INDEXED or filled == any(name.endswith(".ldb") for name in wanted)
            needed = [name for name in wanted if not name.startswith("LOG") and wanted[name]]
            assert len(needed) > 2
            for name in needed:
                for number, damage in enumerate(DAMAGES):
                    damage(storage / name)
                    assert manager.check(ID).verdict == "damaged", (folder, name, number)
                    assert manager.restore(ID).action == "restored"
                    assert tree(storage).items() >= wanted.items()
        assert KNOWN["chromium"].identity(place.live) == WID
        assert f'"{WID}" has the noise key' in _browse(place.live, port, "show")


STORAGE = "Local Storage/leveldb"
INDEXED = f"IndexedDB/https_{HOST}_0.indexeddb.leveldb"
DAMAGES: tuple[Callable[[Path], object], ...] = (
    lambda path: path.unlink(),
    lambda path: os.truncate(path, 0),
    lambda path: os.truncate(path, path.stat().st_size // 2),
    lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
)

# --- libraries: written by the library itself, in a process of its own ----------------------

LIBRARIES = {
    "telethon": (
        "telethon",
        """
        from telethon.crypto import AuthKey
        from telethon.sessions import SQLiteSession
        session = SQLiteSession("anon")
        session.set_dc(2, "149.154.167.51", 443)
        session.auth_key = AuthKey(bytes(range(256)))
        session.save()
        """,
        "dc2:",
    ),
    "pyrogram": (
        "pyrogram",
        """
        import asyncio
        from pathlib import Path
        from pyrogram import storage
        one_for_all = not hasattr(storage, "FileStorage")  # kurigram
        Storage = storage.SQLiteStorage if one_for_all else storage.FileStorage
        async def main():
            storage = Storage("mine", Path("."))
            await storage.open()
            for name, value in {
                "dc_id": 4, "auth_key": bytes(range(256)), "user_id": 4711, "is_bot": False
            }.items():
                await getattr(storage, name)(value)
            await storage.save()
            await storage.close()
        asyncio.run(main())
        """,
        "4711@dc4:",
    ),
    "matrix-nio": (
        "nio",
        f"""
        import json, os
        from nio.crypto import OlmAccount
        from nio.store import DefaultStore
        os.mkdir("store")
        DefaultStore("{USER}", "DEVICE", "store", pickle_key="key").save_account(OlmAccount())
        login = dict(user_id="{USER}", device_id="DEVICE", access_token="t")
        json.dump(login, open("credentials.json", "w"))
        """,
        f"{USER}/DEVICE",
    ),
    # Only a phone can link one: so the row is ours, in the tables that the library makes.
    "neonize": (
        "neonize",
        f"""
        import os, sqlite3, threading
        os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"  # nobody there: it is to reach no one
        from neonize.client import NewClient
        client = NewClient("bot.db")
        thread = threading.Thread(target=client.connect, daemon=True)
        thread.start()
        thread.join(20)
        database = sqlite3.connect("bot.db", timeout=30)
        columns = database.execute("PRAGMA table_info(whatsmeow_device)").fetchall()
        sizes = dict(signed_pre_key_sig=64, adv_account_sig=64, adv_device_sig=64)
        row = dict()
        for _number, name, kind, notnull, default, _key in columns:
            if notnull and default is None:
                row[name] = bytes(sizes.get(name, 32)) if kind == "bytea" else 7
        row["jid"] = "{JID}"
        marks = ", ".join("?" * len(row))
        with database:
            into = f"whatsmeow_device({{', '.join(row)}}) VALUES ({{marks}})"
            database.execute("INSERT INTO " + into, list(row.values()))
        os._exit(0)
        """,
        f"{JID}:",
    ),
}


@pytest.mark.parametrize("kind", LIBRARIES)
def test_what_a_real_library_writes_is_known(place: Place, kind: str) -> None:
    """Its kind and its device; and it is refused nothing of it when it is damaged."""
    module, script, identity = LIBRARIES[kind]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}: pip install {kind} into this environment")
    place.live.mkdir(parents=True)
    lines = "\n".join(line.removeprefix(" " * 8) for line in script.splitlines())
    subprocess.run([sys.executable, "-c", lines], cwd=place.live, check=True, timeout=100)
    profile = profile_for(place.live)
    assert profile.name == kind
    assert (profile.identity(place.live) or "").startswith(identity)
    manager = place.manager()
    manager.note_linked(ID, None)
    assert manager.backup(ID).verdict == "good"
    wanted = tree(place.live)
    for name in [name for name, data in wanted.items() if data and name.endswith(ENDINGS)]:
        for damage in DAMAGES:
            damage(place.live / name)
            assert manager.check(ID).verdict != "passed", name
            assert manager.restore(ID).action == "restored"
            assert tree(place.live) == wanted


ENDINGS = (".db", ".session", "credentials.json")
