"""A package is written whole or not at all, and nothing of anybody's is lost."""

from __future__ import annotations

import os
from collections import UserDict
from pathlib import Path

import pytest

from civitas._authoring.placing import place
from civitas.errors import ConfigurationError

FILES = {"a.txt": "a\n", "b/c/d.txt": "ä\n"}


def everything(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "outer" / "package"


@pytest.fixture(autouse=True)
def outer(target: Path) -> Path:
    target.parent.mkdir()
    return target.parent


def test_files_are_where_they_belong_and_nothing_else_is_there(target, outer):
    place(FILES, target)
    assert everything(outer) == {f"package/{name}": text for name, text in FILES.items()}


def test_the_folder_may_be_read_by_whom_the_user_lets_read(target):
    place(FILES, target)
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~mask


def test_an_empty_folder_is_filled_also_by_way_of_a_link(target, outer):
    target.mkdir()
    (outer / "link").symlink_to("package")
    place(FILES, outer / "link")
    assert everything(target) == FILES
    assert (outer / "link").is_symlink()


@pytest.mark.parametrize("kind", ["folder", "file", "link to nothing"])
def test_what_is_there_is_left_as_it_is(target, outer, kind):
    if kind == "folder":
        target.mkdir()
        (target / "a.txt").write_text("mine")
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to("nowhere/at/all")
    before = everything(outer), sorted(outer.iterdir())
    with pytest.raises(ConfigurationError):
        place(FILES, target)
    assert (everything(outer), sorted(outer.iterdir())) == before
    assert target.is_symlink() is (kind == "link to nothing")


def test_the_current_folder_is_not_replaced_under_the_feet_of_a_shell(target, monkeypatch):
    target.mkdir()
    monkeypatch.chdir(target)
    with pytest.raises(ConfigurationError, match="current folder"):
        place(FILES, Path())
    assert Path.cwd() == target


def test_a_missing_folder_above_is_named(outer):
    with pytest.raises(ConfigurationError, match="missing"):
        place(FILES, outer / "missing" / "package")
    assert list(outer.iterdir()) == []


class Interrupted(UserDict[str, str]):
    """Files of which only the first can be taken before something happens."""

    def __init__(self, happens) -> None:
        super().__init__(FILES)
        self._happens = happens

    def items(self):
        first, second = FILES.items()
        yield first
        self._happens()
        yield second


def test_what_has_come_meanwhile_is_not_overwritten(target, outer):
    def somebody_writes() -> None:
        target.mkdir()
        (target / "a.txt").write_text("mine")

    with pytest.raises(OSError, match="not empty"):
        place(Interrupted(somebody_writes), target)
    assert everything(outer) == {"package/a.txt": "mine"}
    assert list(outer.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_on_the_way_leaves_nothing(target, outer, error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        place(Interrupted(fail), target)
    assert list(outer.iterdir()) == []
