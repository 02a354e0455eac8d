"""A config that says anew how a session lies: no older copy is put where its bot would not look."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager

ID = "1"
Make = Callable[[Path], SessionManager]


def among(root: Path) -> SessionManager:
    """Return the manager of a session that is a folder among the project's files."""
    return _manager(root, root, parts={ID: ("auth",)})


def alone(root: Path) -> SessionManager:
    """Return the manager of the same, as a folder of its own."""
    return _manager(root, root / "auth")


def _manager(
    root: Path, place: Path, parts: dict[str, tuple[str, ...]] | None = None
) -> SessionManager:
    return SessionManager(
        root / "sessions", root / "store", root / "state.json", paths={ID: place}, parts=parts
    )


@pytest.mark.parametrize(("before", "after"), [(among, alone), (alone, among)])
def test_a_copy_of_another_shape_is_not_put_in_place(
    tmp_path: Path, before: Make, after: Make
) -> None:
    """Nothing is changed, and that is told with what helps; as it lay before, it comes back."""
    auth = tmp_path / "auth"
    (auth / "auth").mkdir(parents=True)  # of the same name: nothing else would tell them apart
    (auth / "auth" / "key").write_text("mine")
    (auth / "creds").write_text("me")
    first = before(tmp_path)
    first.note_linked(ID, None)
    assert first.backup(ID).verdict == "good"
    shutil.rmtree(auth)
    with pytest.raises(SupervisorError, match="is of a session that lay") as caught:
        after(tmp_path).restore(ID)
    assert "put them back" in str(caught.value.hint)
    assert not auth.exists()
    first.restore(ID)
    assert (auth / "creds").read_text() == "me"
    assert (auth / "auth" / "key").read_text() == "mine"
