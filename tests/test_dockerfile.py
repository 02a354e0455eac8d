"""What the Dockerfile must not forget. The image itself is not built here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    split = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in split]


def test_it_is_pinned_unprivileged_and_stopped_in_good_order() -> None:
    """A fixed base, a user that is not root, SIGTERM, exec form, a health check."""
    found = instructions()
    bases = [rest.split()[0] for name, rest in found if name == "FROM"]
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    last = dict(found)
    assert int(last["USER"]) > 0
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["ENTRYPOINT"].startswith("[")
    assert "exec stillhere run" in last["ENTRYPOINT"]
    assert '"stillhere", "status"' in last["HEALTHCHECK"]


def test_what_it_copies_is_there_and_no_session_goes_along() -> None:
    """A session is a credential: none of it may come into an image."""
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"sessions", ".session-cache", "session-state.json", ".git"} <= set(ignored)
