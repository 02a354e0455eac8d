"""Root that lacks CAP_SYS_PTRACE, as in a container or in our unit, sees its bots all the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
# With CAP_PERFMON or CAP_SYS_ADMIN it might look, too.
KEPT = "-all,+setuid,+setgid,+dac_override"
# The one who is looked at: a token, an open file, and one that is mapped to be written. After an
# exec the kernel would let its user look by itself (prctl(2), PR_SET_DUMPABLE), as a bot's.
LOOKED_AT = """
import ctypes, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
page = mmap.mmap(fd, 4096)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print("there", flush=True)
sys.stdin.read()
"""
LOOKER = """
import json, os, sys
from pathlib import Path
from supervisor.process.tree import environment_has
from supervisor.session.copying.hot import mapped
from supervisor.session.copying.writers import users
pid, file = int(sys.argv[1]), Path(sys.argv[2])
found = {
    "token": environment_has(pid, b"STILLHERE_TOKEN=mine"),
    "mapped": file.stat().st_ino in mapped([pid]),
    "user": pid in set(users(file.parent)),
}
status = Path("/proc/thread-self/status").read_text().splitlines()
found["uids"] = next(line.split()[1:] for line in status if line.startswith("Uid:"))
file.write_text("still root: it may write what is another's")
print(json.dumps(found))
"""


def test_what_its_owner_sees_of_a_process_we_see(tmp_path: Path) -> None:
    """The environment, descriptors and mappings; and afterwards we are who we were."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("it takes root, and setpriv(1) to be less than that")
    file = tmp_path / "file"
    file.write_bytes(bytes(4096))
    os.chown(file, NOBODY, NOBODY)
    python = [sys.executable, "-c"]
    with subprocess.Popen(
        [*python, LOOKED_AT, str(file)],
        env={"STILLHERE_TOKEN": "mine"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        less = ["setpriv", "--bounding-set", KEPT, *python, LOOKER]
        done = subprocess.run(
            [*less, str(other.pid), str(file)], capture_output=True, text=True, check=False
        )
        other.communicate()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"token": True, "mapped": True, "user": True, "uids": ["0"] * 4}
