"""How bots lived, by the journal: QR codes again and again, stops that end in a kill, and more."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from supervisor.control.journal import Journal
from tests.unit.doctor.kit import Project
from tests.unit.doctor.test_doctor_service import supervised


class Story:
    """Writes a journal as a supervisor does."""

    def __init__(self, project: Project) -> None:
        self.journal = Journal(project.store / ".events.jsonl")
        self.generation = 0

    def starts(self, *events: str, **fields: object) -> None:
        """Start a generation, to which these things happen."""
        self.generation += 1
        for event in ("spawned", *events):
            self.journal.append("echo", event, generation=self.generation, **fields)

    def stopped(self) -> None:
        """Stop the supervisor in good order."""
        self.journal.append(None, "supervisor_stopping")


@pytest.fixture
def story(project: Project) -> Story:
    """Return a journal to be written."""
    return Story(project)


def test_a_qr_code_at_every_restart(project: Project, story: Story) -> None:
    """Linked once, then two starts with a QR code; a start that came back ends the story."""
    story.starts("pairing", "linked")
    story.starts("pairing")
    story.stopped()
    project.well()  # once may be a logout
    story.starts("pairing")
    story.journal.append("echo", "epoch_closed", why="401 device removed")
    story.stopped()
    found = project.problem("qr")
    assert found.cause == "its link has ended: 401 device removed"
    project.follow(found)
    story.starts("verified", fresh="", proof="roundtrip")
    story.stopped()
    project.well()


def test_a_first_code_that_nobody_scanned_is_no_habit(project: Project, story: Story) -> None:
    """Who has not linked it yet sees a code at every start."""
    for _ in range(3):
        story.starts("pairing")
    story.starts("pairing", "linked")
    story.stopped()
    project.well()


def test_a_restore_counter_that_does_not_rise(bare: Project) -> None:
    """Three good starts, and nothing is linked: no file, and no word on which device it is."""
    (bare.live / "creds.json").unlink()
    bare.store.mkdir(mode=0o700)
    story = Story(bare)
    for _ in range(3):
        story.starts("verified", fresh="adopted", proof="ready", identity="")
    story.stopped()
    found = bare.problem("restores")
    assert "counter is still 0" in found.seen
    assert found.edit.startswith("[bot.echo]\nsession_path")
    (bare.live / "creds.json").write_text('{"me": "d1"}')  # now it keeps it here
    bare.linked().well()


def test_a_bot_that_was_killed_at_its_stop(project: Project, story: Story) -> None:
    """The edit gives it more time, and the next stop is as it should be."""
    story.starts("stopping", "killed", why="it did not stop in 5 s")
    story.stopped()
    found = project.problem("stop")
    assert "SIGKILL" in found.seen
    project.add(found.edit)
    story.starts("stopping")
    story.stopped()
    project.well()


@pytest.mark.parametrize(
    ("command", "right"),
    [
        ('["sh", "-c", "exec python bot.py"]', '["python", "bot.py"]'),
        ('["npm", "start"]', '["python", "bot.py"]'),
        ('["npm", "run", "bot"]', '["python", "bot.py", "--fast"]'),
    ],
)
def test_a_wrapper_that_keeps_the_signal(
    project: Project, story: Story, command: str, right: str
) -> None:
    """A shell or a packager in the command: the edit starts the program itself."""
    npm = project.tools / "npm"
    npm.write_text("#!/bin/sh\n")
    npm.chmod(0o755)
    project.add(f"[bot.echo]\ncommand = {command.replace('npm', str(npm), 1)}")
    scripts = '{"scripts": {"start": "python bot.py", "bot": "python bot.py --fast"}}'
    (project.root / "package.json").write_text(scripts)
    assert project.note("stop").edit == f"[bot.echo]\ncommand = {right}"
    story.starts("stopping", "killed", why="it did not stop in 5 s")
    story.stopped()
    found = project.problem("stop")
    project.add(found.edit)
    story.starts("stopping")
    story.stopped()
    project.well()


def test_a_bot_that_failed_when_it_last_ran(project: Project, story: Story) -> None:
    """Nothing runs now: the journal still knows why."""
    story.starts("failed", why="it crashed 6 times in 60 s")
    story.stopped()
    found = project.problem("online")
    assert "it crashed 6 times in 60 s" in found.seen
    story.starts("verified", fresh="", proof="roundtrip")
    story.stopped()
    project.well()


def test_a_supervisor_that_was_killed(project: Project, story: Story) -> None:
    """It began, and never said that it stops."""
    story.journal.append(None, "supervisor_started", pid=4711)
    story.starts("verified", fresh="", proof="roundtrip")
    found = project.problem("online")
    assert "pid 4711" in found.seen
    story.stopped()
    project.well()


def test_a_device_that_is_not_proved(bare: Project) -> None:
    """Nothing says which device it is: a note, for it works."""
    bare.manager().note_linked("971505760056", None)
    bare.manager().backup("971505760056")
    story = Story(bare)
    story.starts("verified", fresh="", proof="ready", identity="")
    story.stopped()
    assert "not proved" in bare.note("restores").seen


def test_a_bot_that_is_late(project: Project, story: Story) -> None:
    """It runs, and does not say that it is ready; or its server can't be reached."""
    story.starts("late")
    with supervised(project, phase="verifying"):
        found = project.problem("online")
        assert "does not say that it is ready" in found.seen
        project.add(found.edit)
        project.asked()  # the edit is one that the config takes
        story.starts("offline", "late")
        assert "can't reach its server" in project.problem("online").seen
    story.starts("verified", fresh="", proof="roundtrip")
    with supervised(project):
        project.well()


def test_a_clock_that_went_back(project: Project, story: Story) -> None:
    """The journal's times do; it is said once, and harms nothing."""
    story.stopped()
    lines = (project.store / ".events.jsonl").read_text()
    early = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    late = json.loads(lines)["t"]
    (project.store / ".events.jsonl").write_text(lines + lines.replace(late, early))
    assert "went back by 7" in project.note("clock").seen


@pytest.mark.parametrize("empty", [False, True])
def test_why_a_code_is_shown(project: Project, story: Story, empty: bool) -> None:  # noqa: FBT001 - a parameter
    """It waits for a scan: because nothing is kept, or because the network wants it."""
    if empty:
        (project.live / "creds.json").unlink()
    story.starts("linked")
    with supervised(project, phase="pairing"):
        found = {each.check: each for each in project.asked().of("problem")}["online"]
    assert ("nothing is ever written into" in found.cause) is empty


def test_saves_that_are_seen_late(project: Project, story: Story) -> None:
    """The supervisor said so since it began: the command that it named is told."""
    story.journal.append(None, "supervisor_started", pid=1)
    why = "the limit is reached. To raise it: sudo sysctl fs.inotify.max_user_watches=524288 (...)"
    story.journal.append("echo", "watch_degraded", why=why)
    with supervised(project):
        found = project.problem("watching")
        assert found.commands == ("sudo sysctl fs.inotify.max_user_watches=524288",)
        story.journal.append(None, "supervisor_started", pid=2)
        project.well()


def test_what_is_watched_is_not_there(project: Project) -> None:
    """`watch` names a folder that was moved, or never was."""
    project.add('[bot.echo]\nwatch = ["src"]')
    assert "does not exist" in project.problem("watching").seen
    (project.root / "src").mkdir()
    project.well()
