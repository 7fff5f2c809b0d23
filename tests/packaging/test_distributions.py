"""The distributions: what is in them, and that they stand alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from support.environments import link_third_party

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def wheel(built: Path, name: str) -> Path:
    (found,) = built.glob(f"{name.replace('-', '_')}-*.whl")
    return found


def contents(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def metadata_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("METADATA"))
        return archive.read(name).decode()


def test_the_core_wheel_has_its_sources_its_marker_its_licence_and_nothing_else(
    built: Path, repository: Path
) -> None:
    source = repository / "civitas-core/src"
    expected = {
        str(path.relative_to(source))
        for path in (source / "civitas").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = contents(wheel(built, "civitas-core"))
    code = {name for name in names if ".dist-info/" not in name}
    assert code == expected
    assert "civitas/py.typed" in code
    assert "civitas/plugins/known.json" in code
    metadata = {name.partition(".dist-info/")[2] for name in names - code}
    assert metadata == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_wheels_of_plugins_have_their_sources_their_marker_and_their_entry_point(
    built: Path, projects: dict[str, Path]
) -> None:
    for name in projects.keys() - {"civitas", "civitas-core"}:
        source = projects[name] / "src"
        package = name.replace("-", "_")
        expected = {
            str(path.relative_to(source))
            for path in (source / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        names = contents(wheel(built, name))
        code = {each for each in names if ".dist-info/" not in each}
        assert code == expected, name
        assert f"{package}/py.typed" in code
        metadata = {each.partition(".dist-info/")[2] for each in names - code}
        assert {"entry_points.txt", "licenses/LICENSE"} <= metadata, name
        assert "Requires-Dist: civitas-core<0.2,>=0.1" in metadata_of(wheel(built, name)), name


def test_the_meta_wheel_has_no_code(built: Path) -> None:
    names = contents(wheel(built, "civitas"))
    assert {n for n in names if ".dist-info/" not in n} == set()
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_the_extras_pull_what_they_say(built: Path) -> None:
    metadata = metadata_of(wheel(built, "civitas"))
    required = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    by_extra: dict[str, set[str]] = {}
    for each in required:
        requirement, _, marker = each.partition(";")
        extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
        distribution = re.match(r"[\w-]+", requirement)
        assert distribution is not None
        assert "<0.2" in requirement, f"{requirement} is no compatible range"
        by_extra.setdefault(extra[1] if extra else "", set()).add(distribution[0])
    assert by_extra == {
        "": {"civitas-core"},
        "zmq": {"civitas-zmq"},
        "nats": {"civitas-nats"},
        "all": {"civitas-zmq", "civitas-nats"},
    }


def test_sdists_hold_what_it_takes_to_build_and_no_more(built: Path) -> None:
    for sdist in built.glob("*.tar.gz"):
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        roots = {name.partition("/")[0] for name in names}
        assert {"PKG-INFO", "LICENSE", "README.md", "pyproject.toml"} <= roots, sdist.name
        allowed = {"PKG-INFO", "LICENSE", "README.md", "pyproject.toml", "src", ".gitignore"}
        assert roots <= allowed, sdist.name
        assert not any("tests" in name or name.endswith(".pyc") for name in names), sdist.name


def test_the_readme_of_each_distribution_is_its_description(
    built: Path, projects: dict[str, Path]
) -> None:
    for name in projects:
        _, _, description = metadata_of(wheel(built, name)).partition("\n\n")
        assert len(description) > 300, f"{name} has no README to speak of"


def test_core_alone_runs_agents_from_its_wheel_in_an_environment_of_its_own(
    built: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    site = next((environment / "lib").glob("python*/site-packages"))
    for name in ("civitas", "civitas-core"):
        with zipfile.ZipFile(wheel(built, name)) as archive:
            archive.extractall(site)
    # The third-party set is that of the running environment; ours comes from the wheels alone.
    link_third_party(tmp_path / "third_party")
    (site / "third_party.pth").write_text(f"{tmp_path / 'third_party'}\n")
    (tmp_path / "agents.py").write_text(
        "from civitas import AgentProcess\n"
        "import civitas, sys\n"
        "class Once(AgentProcess):\n"
        "    async def on_start(self):\n"
        "        print(civitas.__file__)\n"
        "        print(sorted({'zmq', 'nats', 'redis'} & set(sys.modules)))\n"
        "        self.stop()\n"
    )
    (tmp_path / "topology.yaml").write_text(
        "supervision: {name: root, children: [{agent: {name: a, type: agents.Once}}]}"
    )
    python = environment / "bin/python"
    done = subprocess.run(
        [python, "-c", "from civitas.cli import main; main()", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    file, foreign = done.stdout.splitlines()
    assert file.startswith(str(site))
    assert foreign == "[]"
    missing = subprocess.run(
        [python, "-c", "from civitas.cli import main; main()", "run", "--transport", "zmq"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 2
    assert 'pip install "civitas-zmq"' in missing.stderr


def test_pip_installs_both_wheels_from_a_local_folder_alone(built: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
            *("--find-links", str(built), "--target", str(tmp_path), "civitas", "civitas-core"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "civitas" / "py.typed").is_file()
    assert (tmp_path / "bin" / "civitas").is_file()


def test_versions_and_licences_agree(projects: dict[str, Path], repository: Path) -> None:
    for name, folder in projects.items():
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert project["version"] == "0.1.0", name
        assert project["license"] == "Apache-2.0", name
        assert project["requires-python"] == ">=3.11", name
        assert (folder / "LICENSE").read_bytes() == (repository / "LICENSE").read_bytes(), name
    changelog = (repository / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[0\.1\.0\]", changelog, re.MULTILINE)
