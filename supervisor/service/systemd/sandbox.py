"""Which of systemd's sandboxing directives the bots can live with (systemd.exec(5)). Pure.

Each exception from the strictest value has its reason here; what was tried, and what broke, is in
tests/systemd. Never a directive that a bot would have to be changed for.
"""

from collections.abc import Iterable
from pathlib import Path

from supervisor.service.systemd.place import Needs, Place

Lines = list[tuple[str, str]]

_HOMES = tuple(Path("/", name) for name in ("home", "root", "run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - looked for in others' paths
# To become another user and drop all else (SET*), to hand a session over and to read, write and
# close it then (CHOWN, DAC_OVERRIDE, FOWNER), and to end what runs as another one (KILL).
_FOR_USERS = "CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_KILL CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE"


def below(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path lies in one of these folders, by its name."""
    return any(path.is_relative_to(folder) for folder in folders)


def sandbox(place: Place, paths: Iterable[Path]) -> Lines:
    """Return the directives; `paths` is all that the service must see."""
    return _of_one_user(place) if place.manager else _of_the_system(place, list(paths))


def hidden_homes(paths: Iterable[Path]) -> list[Path]:
    """Return which of the paths lie in a home, and so have to be bound through the curtain."""
    return [path for path in paths if below(path, _HOMES)]


def _of_the_system(place: Place, paths: list[Path]) -> Lines:
    users = Needs.USERS in place.needs
    lines = [
        ("CapabilityBoundingSet", _FOR_USERS if users else ""),
        ("AmbientCapabilities", ""),
        ("ProtectSystem", "strict"),
        # A curtain: the homes are empty but for what is bound below.
        ("ProtectHome", "tmpfs" if hidden_homes(paths) else "yes"),
        ("PrivateTmp", "no" if any(below(path, _TEMPORARY) for path in paths) else "yes"),
        ("PrivateDevices", "yes"),
        ("DevicePolicy", "closed"),
        # In a user namespace nobody can become another user of the machine.
        ("PrivateUsers", "no" if users else "yes"),
        ("PrivateIPC", "yes"),
        ("PrivateMounts", "yes"),
        ("RemoveIPC", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelLogs", "yes"),
        # Root sees its bots, which are other users' processes, as one of /proc's group, which is 0
        # (proc(5)); not so with "ptraceable", as it lacks CAP_SYS_PTRACE.
        ("ProtectProc", "invisible"),
        # ProcSubset=pid would hide /proc/sys, by which our locks know this boot, and empty
        # os.cpus() and psutil's numbers of the machine.
        ("ProcSubset", "all"),
    ]
    return lines + _filters(place)


def _of_one_user(place: Place) -> Lines:
    # What needs namespaces or capabilities, a user's manager cannot give.
    return _filters(place)


def _filters(place: Place) -> Lines:
    browser = Needs.BROWSER in place.needs
    users = Needs.USERS in place.needs
    lines = [
        ("NoNewPrivileges", "yes"),
        ("UMask", "0077"),
        ("KeyringMode", "private"),
        ("LockPersonality", "yes"),
        ("RestrictRealtime", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("MemoryDenyWriteExecute", "no" if Needs.JIT in place.needs else "yes"),
        # AF_NETLINK: without it os.networkInterfaces() throws, and getifaddrs(3) fails.
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
        # A browser puts its pages into namespaces of their own.
        ("RestrictNamespaces", "user pid net" if browser else "yes"),
        ("SystemCallArchitectures", "native"),
        ("SystemCallFilter", "@system-service"),
    ]
    if browser:
        # Its sandbox sets capabilities (capset is @privileged), its zygote goes into a chroot.
        lines += [("SystemCallFilter", "~@resources @obsolete"), ("SystemCallFilter", "chroot")]
    elif users:
        # setuid(2), setgroups(2), chown(2) and capset(2) are @privileged.
        lines += [("SystemCallFilter", "~@resources @obsolete")]
    else:
        lines += [("SystemCallFilter", "~@privileged @resources @obsolete")]
        # setpriv(1) calls it, which tells the kernel to tell the bots when we die.
        lines += [("SystemCallFilter", "capset")]
    # A refused call is an error that programs know, no death by SIGSYS.
    lines.append(("SystemCallErrorNumber", "EPERM"))
    return lines
