"""A bot as people write them with matrix-nio: the login is in a JSON file beside the store."""

import json
import secrets
from pathlib import Path
from threading import Event

from nio import AsyncClient

CREDENTIALS = Path("credentials.json")

if not CREDENTIALS.exists():
    print("Enter your password: ", end="", flush=True)
    while not Path("code").exists():
        Event().wait(0.02)
    login = {
        "homeserver": "https://matrix.example.org",
        "user_id": "@bot:example.org",
        "device_id": secrets.token_hex(5).upper(),
        "access_token": secrets.token_urlsafe(24),
    }
    CREDENTIALS.write_text(json.dumps(login))
login = json.loads(CREDENTIALS.read_text())
client = AsyncClient(
    login["homeserver"], login["user_id"], device_id=login["device_id"], store_path="store"
)
print("Logged in using stored credentials.", flush=True)
client.sync_forever()
