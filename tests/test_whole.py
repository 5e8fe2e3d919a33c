"""Files that appear complete or not at all."""

import os
from pathlib import Path

import pytest

from restorer.audio.whole import whole_file
from restorer.errors import WeightsError


def write(path: Path, error: Exception | None = None) -> None:
    with whole_file(path, WeightsError, "choose another name", (RuntimeError,)) as partial:
        partial.write_text("new")
        if error is not None:
            raise error


def test_it_takes_the_place_of_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250)  # a name that has no room for more
    for _ in range(2):
        write(path)
        assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(path.name, "new")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError("[enforce fail]\nat line 1"), r"\[enforce fail\]"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_what_fails_leaves_the_file_before_and_nothing_else(tmp_path: Path, error: Exception, reason: str) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(WeightsError, match=rf"a cannot be written \({reason}\); choose another name$"):
        write(path, error)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a", "old")]


def test_our_own_faults_are_not_taken_for_the_disks(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write(tmp_path / "a", KeyError("ours"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(WeightsError, match=f"{name} is not a regular file.*; choose another name"):
            write(tmp_path / name)
    assert {each.name for each in tmp_path.iterdir()} == {"folder", "pipe"}
