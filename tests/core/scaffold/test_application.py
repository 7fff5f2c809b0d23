"""`civitas new`: a system of agents that runs and passes its tests as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from civitas._authoring.application import LONGEST_NAME, named, render
from civitas._authoring.placing import place
from civitas.errors import ConfigurationError
from support.commands import COMMAND, completed

LONGEST = "a" * (LONGEST_NAME - 2) + "-b"


def new(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return completed(COMMAND, "new", *args, cwd=folder)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "my-shop"
    place(render(named("my-shop"), "0.1.0"), folder)
    return folder


@pytest.mark.parametrize("name", ["shop", "my-shop", "shop_2", LONGEST])
def test_the_files_have_the_names_of_the_application_and_no_placeholder(name: str) -> None:
    application = named(name)
    files = render(application, "0.1.0")
    assert f"{application.package}/agents.py" in files
    assert f"type: {application.package}.agents.Desk" in files["topology.yaml"]
    assert f'name = "{name}"' in files["pyproject.toml"]
    assert '["civitas-core>=0.1,<0.2", "civitas-zmq"]' in files["pyproject.toml"]
    assert "type: zmq" in files["processes.yaml"]
    for path, text in files.items():
        assert "$" not in text, path
        assert max(map(len, text.splitlines())) <= 120, path


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Shop", "did you mean 'shop'?"),
        ("my shop", "did you mean 'my-shop'?"),
        ("../x", "did you mean 'x'?"),
        ("", "can't be the name"),
        ("import", "a keyword of Python"),
        ("json", "Python's own library"),
        ("civitas", "there already"),
        ("tests", "there already"),
        ("pytest", "there already"),
        (f"{LONGEST}c", "longer than"),
    ],
)
def test_a_name_that_can_not_be_is_refused_with_the_reason(name: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part.replace("?", r"\?")):
        named(name)


def test_the_transport_for_several_processes_can_be_chosen() -> None:
    files = render(named("shop", "nats"), "0.1.0")
    assert "type: nats" in files["processes.yaml"]
    assert '"civitas-nats"' in files["pyproject.toml"]
    with pytest.raises(
        ConfigurationError, match=r"'in_process' is no transport .*\(nats, redis, zmq\)"
    ):
        named("shop", "in_process")


@pytest.mark.slow
def test_the_new_application_passes_its_own_tests(shop: Path) -> None:
    done = completed(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=shop)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.slow
def test_a_test_of_the_new_application_fails_when_its_agent_is_wrong(shop: Path) -> None:
    agents = shop / "my_shop" / "agents.py"
    agents.write_text(agents.read_text().replace("len(text.split())", "len(text)"))
    done = completed(sys.executable, "-m", "pytest", "-q", "tests/test_agents.py", cwd=shop)
    assert done.returncode == 1
    assert "test_the_worker_counts_words" in done.stdout


@pytest.mark.slow
def test_the_new_application_is_typed_and_in_good_style(shop: Path) -> None:
    style = ("ruff", "check", "--isolated", "--line-length=100", "--select=B,E,F,I,UP", ".")
    for command in (("mypy", "--strict", "my_shop", "tests"), style):
        done = completed(sys.executable, "-m", *command, cwd=shop)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("overlay", [(), ("--overlay", "processes.yaml")], ids=["one", "two"])
def test_the_topology_of_the_new_application_is_valid(shop: Path, overlay: tuple[str, ...]) -> None:
    done = completed(COMMAND, "topology", "validate", *overlay, cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is valid (agents: 2" in done.stdout


@pytest.mark.slow
def test_it_says_what_it_wrote_and_how_to_go_on(tmp_path: Path) -> None:
    done = new(tmp_path, "shop", "--directory", "my shop")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head == "shop: a system of two agents, in my shop"
    listed = [line.strip() for line in lines[: lines.index("next:")]]
    written = [path for path in (tmp_path / "my shop").rglob("*") if path.is_file()]
    assert listed == sorted(path.relative_to(tmp_path / "my shop").as_posix() for path in written)
    steps = [line.partition("#")[0].strip() for line in lines[lines.index("next:") + 1 :]]
    assert steps[0] == "cd 'my shop'"
    assert {"pytest", "civitas run"} <= set(steps)


@pytest.mark.slow
def test_json_names_the_application_and_its_files(tmp_path: Path) -> None:
    done = new(tmp_path, "my-shop", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "my_shop/agents.py" in said.pop("files")
    assert said == {
        "name": "my-shop",
        "package": "my_shop",
        "transport": "zmq",
        "distribution": "civitas-zmq",
        "directory": str(tmp_path / "my-shop"),
    }


@pytest.mark.slow
def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "work.py").write_text("years of work")
    done = new(tmp_path, "shop")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing in it was touched" in done.stderr
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["work.py"]
