"""Paths on the command line, and topologies that can be read only once."""

from __future__ import annotations

import os
import threading
from contextvars import Context, copy_context
from pathlib import Path
from typing import get_args, get_type_hints
from zipfile import ZipFile

import pytest
import typer

from civitas.cli.paths import all_at_home, at_home, module_folder
from civitas.cli.process_group.private_arguments import PrivateArguments, take_arguments
from civitas.topology import pipes
from civitas.topology.yaml_nodes import plain
from civitas.topology.yaml_reader import read_file
from support.own_commands import own_commands


def test_every_path_of_every_command_may_begin_with_a_tilde() -> None:
    checked: set[str] = set()
    for command in own_commands():
        for name, hint in get_type_hints(command, include_extras=True).items():
            kind, *_ = get_args(hint) or (hint,)
            if Path in (kind, *get_args(kind)) or list[Path] in get_args(kind):
                (settings,) = hint.__metadata__
                assert settings.callback in (at_home, all_at_home, module_folder), (command, name)
                checked.add(f"{command.__name__} {name}")
    assert checked > {
        "run app_dir",
        "up topology",
        "ask file",
        "run overlays",
        "keygen name",
        "server store",
    }


@pytest.mark.parametrize("path", ["x/~", "x~"])
def test_a_tilde_elsewhere_is_itself(path: str) -> None:
    assert at_home(Path(path)) == Path(path)


def test_a_file_that_is_called_so_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()

    assert at_home(Path("~")) == Path("~")


def test_a_user_who_is_not_there_is_named() -> None:
    with pytest.raises(typer.BadParameter, match="no such user"):
        at_home(Path("~nobody-of-that-name/x"))


def test_a_folder_of_modules_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "agents.py"
    file.touch()
    with ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("agents.py", "")

    assert module_folder(tmp_path) == tmp_path
    assert module_folder(tmp_path / "app.zip") == tmp_path / "app.zip"
    with pytest.raises(typer.BadParameter, match=r"'.*agents\.py' is no folder"):
        module_folder(file)
    with pytest.raises(typer.BadParameter, match="'.*nowhere' does not exist"):
        module_folder(tmp_path / "nowhere")


def test_what_came_through_a_pipe_is_read_once_and_handed_on(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("a: 1")
    writer = threading.Thread(target=pipe.write_text, args=("a: 12:30",), daemon=True)
    writer.start()

    def read() -> dict[str, bytes]:
        pipes.kept.set({})
        read_file(file)
        assert plain(read_file(pipe).root) == plain(read_file(pipe).root) == {"a": "12:30"}
        return pipes.kept.get() or {}

    kept = copy_context().run(read)
    writer.join(10)
    with PrivateArguments(["--set=a=1"], kept) as private:
        arguments, files, _ = take_arguments(os.dup(private.descriptor))

    assert arguments == ["--set=a=1"]
    assert files == {str(pipe): b"a: 12:30"}


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_a_file_that_has_its_path_in_this_process_alone_is_handed_on(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("a: 1")
    with (tmp_path / "file").open() as opened:
        path = Path(f"{folder}/{opened.fileno()}")

        def read() -> object:
            pipes.kept.set({})
            read_file(path)
            return pipes.kept.get()

        assert copy_context().run(read) == {str(path): b"a: 1"}


def test_nothing_is_kept_unless_somebody_wants_it(tmp_path: Path) -> None:
    file = tmp_path / "file"

    def read_twice() -> object:
        file.write_text("a: 1")
        read_file(file)
        file.write_text("a: 2")
        assert pipes.kept.get() is None
        return plain(read_file(file).root)

    assert Context().run(read_twice) == {"a": 2}
