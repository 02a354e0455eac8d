"""Folders on the wrong disk, of the wrong user, for everybody's eyes: told, and mended as told."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from supervisor.doctor.world import Mount, World
from tests.unit.doctor.kit import BOT, ID, Project, in_namespaces, lacks_namespaces, seen


def _mounted(project: Project, *lines: str) -> World:
    """Return a machine with these mounts besides: a network needs another machine."""
    proc = project.home / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "sys").symlink_to("/proc/sys")
    own = Path("/proc/self/mountinfo").read_text()
    (proc / "self" / "mountinfo").write_text(own + "".join(f"{line}\n" for line in lines))
    return project.world(proc=proc)


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_sessions_on_a_network_share(project: Project, kind: str) -> None:
    """The sessions' folder is a share: moved to a local disk, as told, it is none."""
    at = str(project.root / "sessions").replace(" ", "\\040")
    world = _mounted(project, f"90 80 0:99 / {at} rw shared:1 - {kind} server:/share rw")
    found = project.problem("network", world)
    assert kind in found.seen
    project.follow(found)
    project.add(found.edit)
    project.well(world)


@pytest.mark.parametrize(
    ("what", "code"), [("sessions", 1), pytest.param("logs", 0, marks=pytest.mark.long)]
)
def test_a_share_that_does_not_answer(project: Project, what: str, code: int) -> None:
    """A real mount at which nobody answers: it is said, and nothing waits for ever."""
    if why := lacks_namespaces("-m"):
        pytest.skip(why)
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("there is no /dev/fuse that we may use: root would, with the module loaded")
    place = project.home / "logs" if what == "logs" else project.root / what
    project.config(f'{BOT}[logs]\nfolder = "{project.home}/logs"\n')
    place.mkdir(exist_ok=True)
    script = f"""
        exec 9<>/dev/fuse
        mount -i -t fuse.sshfs -o fd=9,rootmode=40000,user_id=0,group_id=0 host:/share {place}
        "$PYTHON" -c 'if True:
            from supervisor.doctor import examine
            from supervisor.cli.main import main
            examine.PATIENCE_S = {0.2 if code else 1.0}
            main()' doctor --json
    """
    done = in_namespaces(("-m",), script, project.root)
    assert done.returncode == code, done.stderr
    if code:
        assert f"{place} (fuse.sshfs)" in done.stderr
    else:
        found = json.loads(done.stdout)["findings"]
        hang = [each for each in found if "no answer in" in each["seen"]]
        assert {each["severity"] for each in hang} == {"unknown"}
        told = [each["seen"] for each in found if each["check"] == "network"]
        assert [str(place) in each for each in told] == [True]
        assert "python" in {each["check"] for each in found if each["severity"] == "ok"}


def test_which_disks_are_a_network_s() -> None:
    """By their type in /proc/self/mountinfo; of other FUSE ones it is not known."""
    remote = ("nfs", "cifs", "smb3", "9p", "drvfs", "vboxsf", "fuse.rclone", "fuse.s3fs")
    local = ("ext4", "overlay", "tmpfs", "fuseblk", "fuse.gocryptfs")
    assert all(Mount(Path("/"), kind).remote for kind in remote)
    assert not any(Mount(Path("/"), kind).remote for kind in local)


def test_source_on_a_network_share(project: Project) -> None:
    """Others' saves are seen late there; nothing is broken by that."""
    (project.root / "src").mkdir()
    project.add('[bot.echo]\nwatch = ["src"]')
    at = project.root / "src"
    world = _mounted(project, f"90 80 0:99 / {at} rw - 9p C:\\134 rw,aname=drvfs")
    assert "every 0.5 s" in project.note("network", world).cause


def test_sessions_in_memory(project: Project) -> None:
    """They lie on a tmpfs, the project does not: moved beside it, as told, they stay."""
    if why := lacks_namespaces("-m"):
        pytest.skip(why)
    script = r"""
        mkdir fast; mount -t tmpfs -o size=80m,mode=700 none fast
        mv sessions fast/; printf '[supervisor]\nsessions = "fast/sessions"\n' >> config.toml
        "$PYTHON" -m supervisor doctor --json > found.json || true
        "$PYTHON" -c 'import json
for found in json.load(open("found.json"))["findings"]:
    print(*found["commands"], sep="\n")' > todo
        sh -e todo
        sed -i '/^.supervisor/,$d' config.toml
        "$PYTHON" -m supervisor doctor --json > after.json
    """
    done = in_namespaces(("-m",), script, project.root)
    assert done.returncode == 0, done.stderr
    found = json.loads((project.root / "found.json").read_text())["findings"]
    problems = [each for each in found if each["severity"] == "problem"]
    assert [each["check"] for each in problems] == ["kept"]
    assert problems[0]["edit"].startswith("[supervisor]\nsessions = ")
    assert (project.live / "creds.json").exists()


def test_a_container_s_own_layer(project: Project) -> None:
    """No volume: said, but no fault of a container that is made to be thrown away."""
    world = _mounted(project, f"90 80 0:99 / {project.root} rw - overlay overlay rw")
    project.well(world)
    inside = World(proc=world.proc, units=world.units, home=world.home, container=True)
    assert "volume" in project.note("kept", inside).fix


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_session_that_sudo_made(project: Project) -> None:
    """The project is somebody's, a file of its session root's: given back by the command told."""
    user = 65_531
    for path in [project.root, *project.root.rglob("*")]:
        os.chown(path, user, user)
    project.well()
    os.chown(project.live / "creds.json", 0, 0)
    found = project.problem("access")
    assert "creds.json" in found.seen
    project.follow(found)
    project.well()


def test_a_session_that_must_not_be_written(project: Project) -> None:
    """The mode of its folder forbids it to its own user."""
    user = 65_531 if os.geteuid() == 0 else os.geteuid()
    for path in [project.root, *project.root.rglob("*")]:
        os.chown(path, user, -1)
    project.live.chmod(0o500)
    found = project.problem("access")
    project.follow(found)
    project.well()


def test_a_session_for_everybody_s_eyes(project: Project) -> None:
    """Group and others may look: taken back by the command, and by --fix."""
    for mend in (False, True):
        project.live.chmod(0o755)
        found = project.problem("private")
        assert "mode 0755" in found.seen
        if mend:
            assert found.mend is not None
            found.mend.act()
        else:
            project.follow(found)
        project.well()


def test_a_session_file_that_is_made_anew(project: Project) -> None:
    """A session that is a file among others is written by the bot's umask: that is said, too."""
    (project.live / "creds.json").rename(project.root / "one.session")
    project.add('[bot.echo]\nsession_files = ["one.session"]')
    (project.root / "one.session").chmod(0o644)
    found = [each for each in project.asked().of("problem") if each.check == "private"]
    assert "umask 077" in found[0].fix
    project.follow(found[0])
    assert not [each for each in project.asked().of("problem") if each.check == "private"]


def test_a_session_that_nobody_reaches(project: Project) -> None:
    """A private folder above it keeps all in it, whatever its own mode."""
    project.live.chmod(0o755)
    project.root.chmod(0o700)
    project.well()


def test_a_secret_for_everybody_s_eyes(project: Project) -> None:
    """A webhook's token stands in the config, a bot's in its env_file; neither is shown."""
    (project.root / ".env").write_text("TOKEN=sesame\n")
    (project.root / ".env").chmod(0o644)
    project.config(BOT + 'env_file = ".env"\n[alerts]\nwebhook = "https://h.example/sesame"\n')
    (project.root / "config.toml").chmod(0o644)
    found = project.asked().of("problem")
    assert [each.check for each in found] == ["private", "private"]
    assert "sesame" not in repr(found)
    for each in found:
        project.follow(each)
    project.well()
    project.config(BOT + 'env = { BOT_TOKEN = "sesame" }\n')
    (project.root / "config.toml").chmod(0o644)
    found = project.asked().of("problem")
    assert [str(project.root / "config.toml") in each.seen for each in found] == [True]


def _git(project: Project, *words: str) -> None:
    subprocess.run(["git", *words], cwd=project.root, check=True, capture_output=True)


def test_a_session_that_git_would_take(project: Project) -> None:
    """It is not ignored: the line that is told has it left out."""
    _git(project, "init", "-q")
    found = project.asked().of("note")
    assert {each.check for each in found} == {"git"}
    assert not project.asked().of("problem", "unknown")
    for each in found:
        assert each.mend is not None
        each.mend.act()
    project.well()


def test_a_session_that_git_has(project: Project) -> None:
    """It was committed: taken out of the index as told, and left out from then on."""
    _git(project, "init", "-q")
    (project.root / ".gitignore").write_text("/.session-cache/\n/session-state.json")
    _git(project, "add", "sessions")
    found = project.problem("git")
    project.type(found.commands[0])
    (project.root / ".gitignore").write_text("/.session-cache/\n/session-state.json\n")
    project.type(found.commands[1])
    project.well()
    assert (project.live / "creds.json").exists()


def test_it_changes_nothing(project: Project) -> None:
    """Whatever it looks at: the modes, the times and the contents are as they were."""
    _git(project, "init", "-q")
    project.live.chmod(0o755)
    (project.store / "tmp").rmdir()
    before = seen(project.root)
    assert project.asked().of("problem")
    assert seen(project.root) == before
    assert ID in before["config.toml"][3].decode()
