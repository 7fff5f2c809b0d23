"""The installed command: `civitas plugins new`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.commands import COMMAND, completed

pytestmark = pytest.mark.slow


def new(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return completed(COMMAND, "plugins", "new", *args, cwd=folder)


def test_it_says_what_it_wrote_and_how_to_go_on(tmp_path):
    done = new(tmp_path, "transport", "pigeon", "--directory", "my pigeon")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head == "civitas-pigeon: the transport 'pigeon', in my pigeon"
    named = [line.strip() for line in lines[: lines.index("next:")]]
    written = [path for path in (tmp_path / "my pigeon").rglob("*") if path.is_file()]
    assert named == sorted(path.relative_to(tmp_path / "my pigeon").as_posix() for path in written)
    steps = [line.partition("#")[0].strip() for line in lines[lines.index("next:") + 1 :]]
    assert steps[0] == "cd 'my pigeon'"
    assert 'pip install -e ".[dev]"' in steps
    assert {"civitas plugins check pigeon", "pytest", "python -m build"} <= set(steps)


def test_json_names_the_package_its_files_and_who_has_its_name(tmp_path):
    done = new(tmp_path, "transport", "nats", "--distribution", "acme-nats", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    note = told.pop("notes")[0]
    assert f"warning: {note}" in done.stderr
    assert note.startswith("civitas-nats offers the transport 'nats' already")
    assert "src/acme_nats/wire.py" in told.pop("files")
    assert told == {
        "kind": "transport",
        "name": "nats",
        "distribution": "acme-nats",
        "package": "acme_nats",
        "directory": str(tmp_path / "acme-nats"),
    }


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("transports", "pigeon"), "KIND is transport, serializer or instrument"),
        (("transport", "../x"), "did you mean 'x'?"),
        (("transport", "pigeon", "--distribution", "../x"), "can't be the name"),
        (("serializer", "pigeon", "--author", "<>"), "the author '<>'"),
        (("transport", "pigeon", "--directory", "taken"), "nothing in it was touched"),
        (("transport", "pigeon", "--directory", "a/b/c"), "there is no folder 'a/b'"),
    ],
)
def test_bad_input_exits_with_2_and_writes_nothing(tmp_path, arguments, part):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "work.py").write_text("years of work")
    done = new(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "work.py"]
    assert (tmp_path / "taken" / "work.py").read_text() == "years of work"


def test_a_folder_that_can_not_be_written_is_a_failure(tmp_path):
    done = new(tmp_path, "transport", "pigeon", "--directory", "x" * 300)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nothing was written to ")
    assert "File name too long" in done.stderr
