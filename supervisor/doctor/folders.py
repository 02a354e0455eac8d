"""The disks on which the folders lie: is it one that can be trusted, is it one that stays."""

from pathlib import Path

from supervisor.doctor.findings import Finding, Findings, line
from supervisor.doctor.ground import Ground

_IN_MEMORY = ("tmpfs", "ramfs")


def network(ground: Ground) -> Findings:
    """Sessions, snapshots or source on a network share, or on a drive of Windows."""
    told: set[Path] = set()
    for place in ground.places():
        mount = ground.world.mount_of(place.path)
        if mount.at in told or not mount.remote:
            continue
        told.add(mount.at)
        local = ground.world.home / place.path.name
        yield Finding(
            severity="note" if place.key in ("snapshots", "folder") else "problem",
            seen=f"on {mount.kind}, a network's or another system's disk: {place.what}"
            f" ({place.path})",
            cause="locks, renames and modes do not work there as they must: two copies may run, a"
            " database may be torn, a session may be read by others",
            fix="stop the bots, move it to a local disk, and say in the config where it is",
            commands=(line("mv", place.path, local),),
            edit=place.edit(local),
        )
    for bot in ground.bots:
        for root in bot.watch:
            mount = ground.world.mount_of(root)
            if mount.remote and mount.at not in told:
                told.add(mount.at)
                yield Finding(
                    severity="note",
                    bot=bot.name,
                    seen=f"its source lies on {mount.kind}: {root}",
                    cause="the kernel does not tell what others save there, so it is looked at"
                    " every 0.5 s",
                    fix="work on a copy on a local disk (in WSL: below your Linux home)",
                )


def kept(ground: Ground) -> Findings:
    """A session in memory, or in a container's own layer: gone with the next start."""
    if ground.config is None:
        return
    base = ground.world.mount_of(ground.path)
    told: set[Path] = set()
    for place in ground.places():
        mount = ground.world.mount_of(place.path)
        layer = ground.world.container and mount.kind == "overlay"
        if mount.at in told or not (layer or (mount.kind in _IN_MEMORY and mount.at != base.at)):
            continue
        told.add(mount.at)
        if layer:
            yield Finding(
                severity="note",
                seen=f"in the container's own layer: {place.what} ({place.path})",
                cause="they are gone once the container is made anew, and then there is a QR code",
                fix="mount a volume there (docs/container.md)",
            )
            continue
        local = ground.path.parent / place.path.name
        yield Finding(
            severity="problem",
            seen=f"in memory ({mount.kind} at {mount.at}): {place.what}",
            cause="they are gone when the machine starts anew, and then there is a QR code",
            fix="stop the bots, move it to a disk, and say in the config where it is",
            commands=(line("mv", place.path, local),) if place.path.exists() else (),
            edit=place.edit(local),
        )
