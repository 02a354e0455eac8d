"""A command that restarts the bot by itself is known, as people write it; no other is."""

import json
from pathlib import Path

import pytest

from supervisor.watch.rivals import rival

FOUND = {
    "nodemon index.js": "nodemon",
    "npx nodemon --watch src index.js": "nodemon",
    "node --watch index.js": "node --watch",
    "node -r ./register.js --watch-path=src index.js": "",  # its first file: not looked behind
    "node --env-file .env --watch-path=src index.js": "node --watch-path",
    "tsx watch src/index.ts": "tsx watch",
    "bun --hot index.ts": "bun --hot",
    "python -m watchfiles bot.main": "watchfiles",
    "uvicorn bot:app --reload": "uvicorn --reload",
    "sh -c 'exec nodemon index.js'": "nodemon",
    "node index.js --watch": "",
    "node index.js": "",
    "python bot.py --reload": "",
    "./bot --watch": "",
    "npm start": "nodemon",
    "npm run dev": "tsx watch",
    "npm run loop": "",
    "npm run none": "",
}


@pytest.mark.parametrize("line", FOUND)
def test_what_watches_by_itself(tmp_path: Path, line: str) -> None:
    """By its name, by an option before the program, through npm's scripts and a shell."""
    scripts = {"start": "nodemon index.js", "dev": "tsx watch index.ts", "loop": "npm run loop"}
    (tmp_path / "package.json").write_text(json.dumps({"scripts": scripts}))
    for name in ("index.js", "register.js"):
        (tmp_path / name).write_text("")
    words = ["sh", "-c", line[7:-1]] if line.startswith("sh -c") else line.split()
    assert rival(words, tmp_path) == FOUND[line]


def test_no_command(tmp_path: Path) -> None:
    """Words that lead nowhere are nobody's."""
    assert rival([], tmp_path) == ""
    assert rival(["python", "-m"], tmp_path) == ""
    assert rival(["npx"], tmp_path) == ""
