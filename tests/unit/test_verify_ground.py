"""What `verify --live` adds to a source file, and takes away again."""

from pathlib import Path

from supervisor.verify.ground import _take_back

COMMENT = b"\n# stillhere verify: save 1\n"


def test_only_our_comments_go(tmp_path: Path) -> None:
    """What was written meanwhile stays, as do its mode and the link by which it is named."""
    real, named = tmp_path / "real.py", tmp_path / "bot.py"
    real.write_bytes(b"one\n" + COMMENT + b"two\n")
    real.chmod(0o750)
    named.symlink_to(real)
    _take_back([(named, COMMENT)])
    assert real.read_bytes() == b"one\ntwo\n"
    assert real.stat().st_mode & 0o777 == 0o750
    assert named.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bot.py", "real.py"]


def test_a_file_without_them_is_left_alone(tmp_path: Path) -> None:
    """It is not written, which would restart the bot; one that is gone keeps no other back."""
    plain, other = tmp_path / "plain.py", tmp_path / "other.py"
    plain.write_bytes(b"one\n")
    other.write_bytes(b"two\n" + COMMENT)
    before = plain.stat()
    _take_back([(tmp_path / "gone.py", COMMENT), (plain, COMMENT), (other, COMMENT)])
    assert plain.stat() == before
    assert other.read_bytes() == b"two\n"
