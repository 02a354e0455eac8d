"""Stands in for Telethon 1.45 where there is no Telegram: its session's schema, its words."""

import os
import sqlite3
import time
from pathlib import Path
from threading import Event

POLL_S = 0.02


class TelegramClient:
    """Asks for a code until the file `code` is there, as a person would type it."""

    def __init__(self, session: str, _api_id: int, _api_hash: str) -> None:
        self.database = sqlite3.connect(f"{session}.session", isolation_level=None)
        self.database.executescript(
            "CREATE TABLE IF NOT EXISTS version(version INTEGER PRIMARY KEY);"
            "CREATE TABLE IF NOT EXISTS sessions(dc_id INTEGER PRIMARY KEY, server_address TEXT,"
            " port INTEGER, auth_key BLOB, takeout_id INTEGER);"
            "CREATE TABLE IF NOT EXISTS entities(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL,"
            " username TEXT, phone INTEGER, name TEXT, date INTEGER);"
            "CREATE TABLE IF NOT EXISTS sent_files(md5_digest BLOB, file_size INTEGER,"
            " type INTEGER, id INTEGER, hash INTEGER, PRIMARY KEY(md5_digest, file_size, type));"
            "CREATE TABLE IF NOT EXISTS update_state(id INTEGER PRIMARY KEY, pts INTEGER,"
            " qts INTEGER, date INTEGER, seq INTEGER);"
        )

    def start(self) -> None:
        """Log in, with the key that is there or with a new one."""
        if self.database.execute("SELECT auth_key FROM sessions").fetchone() is None:
            print("Please enter your phone (or bot token): ", end="", flush=True)
            while not Path("code").exists():
                Event().wait(POLL_S)
            address = (2, "149.154.167.51", 443, os.urandom(256))
            self.database.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, NULL)", address)
            self.database.execute("INSERT INTO version VALUES (8)")
            print(
                "Signed in successfully as Bot;"
                " remember to not break the ToS or you will risk an account ban!",
                flush=True,
            )

    def run_until_disconnected(self) -> None:
        """Write what comes in, all the time."""
        while True:
            self.database.execute(
                "INSERT OR REPLACE INTO update_state VALUES (0, ?, 0, 0, 0)", (time.time_ns(),)
            )
            Event().wait(POLL_S)
