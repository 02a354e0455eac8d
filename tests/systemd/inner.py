"""Becomes pid 1 of a private systemd. Run by `manager.booted`, in new namespaces, as root.

Its root is an overlay of this machine's: all is there, and nothing that is written stays. What
systemd could do to the machine is read-only: /proc/sys, /sys.
"""

import os
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def mount(*words: str) -> None:
    """Mount, by the program of that name."""
    subprocess.run(["mount", *words], check=True)


def main(work: Path, shown: list[str]) -> None:
    """Make the root and go there. `shown`: `FOLDER=PLACE`, bound there."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(work))
    upper, lower, root = work / "upper", work / "work", work / "root"
    for folder in (upper, lower, root):
        folder.mkdir()
    layers = f"lowerdir=/,upperdir={upper},workdir={lower}"
    mount("-t", "overlay", "-o", layers, "overlay", str(root))
    bound = [pair.split("=", 1) for pair in shown]
    mount("-t", "proc", "-o", "nosuid,nodev,noexec", "proc", f"{root}/proc")
    # systemd-sysctl would set the machine's own.
    mount("--bind", f"{root}/proc/sys", f"{root}/proc/sys")
    mount("-o", "remount,bind,ro,nosuid,nodev,noexec", f"{root}/proc/sys")
    mount("-t", "sysfs", "-o", "ro,nosuid,nodev,noexec", "sysfs", f"{root}/sys")
    devices(root / "dev")
    for place, mode in (("run", "755"), ("tmp", "1777")):
        mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", f"{root}/{place}")
    mount("-t", "cgroup2", "cgroup2", f"{root}/sys/fs/cgroup")
    for source, place in bound:
        inside = Path(f"{root}{place}")
        inside.mkdir(parents=True, exist_ok=True)
        mount("--bind", source, str(inside))
    os.chdir(root)
    Path("mnt/.old").mkdir(parents=True)
    subprocess.run(["pivot_root", ".", "mnt/.old"], check=True)
    subprocess.run(["umount", "-l", "/mnt/.old"], check=True)
    mount("--make-rshared", "/")  # LoadCredential= needs it
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    env = {
        "container": "test",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    words = ["systemd.unit=basic.target", "systemd.mask=timers.target"]
    os.execve("/lib/systemd/systemd", ["systemd", *words], env)  # noqa: S606 - pid 1, no shell


def devices(place: Path) -> None:
    """Make a /dev with what programs need."""
    mount("-t", "tmpfs", "-o", "mode=755,nosuid", "tmpfs", str(place))
    for name in DEVICES:
        (place / name).touch()
        mount("--bind", f"/dev/{name}", f"{place}/{name}")
    for name in ("pts", "shm"):
        (place / name).mkdir()
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    mount("-t", "devpts", "-o", options, "devpts", f"{place}/pts")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{place}/shm")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        (place / name).symlink_to(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
