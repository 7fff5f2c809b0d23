"""The folder of the agents' modules: it takes no part in discovery, and hides no library."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from civitas.plugins.catalog import PluginKind, builtin
from civitas.plugins.search_path import interpreter_path
from civitas.plugins.shadowing import culprit, namesakes
from support.commands import completed

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
        self.stop()
"""
TREE = "supervision: {name: root, children: [{agent: {name: a, type: agents.Done}}]}\n"
TOPOLOGY = "transport: {type: pigeon}\n" + TREE

PLUGIN = """
from civitas.plugins import TransportSpec, hookimpl
from civitas.transport import InProcessTransport

def make(options, context):
    import feather

    feather.plume()
    return InProcessTransport(context)

@hookimpl
def civitas_transports():
    yield TransportSpec("pigeon", "Slow but sure", make)
"""

AS_A_MODULE = "import sys; sys.argv[0] = 'civitas'; from civitas.cli import main; main()"
"""A program for `-c`, where Python puts the current folder in front of the path."""


class Loft:
    """A user's folder, with a name as names may be, beside a plugin that has a library."""

    def __init__(self, scratch: Any) -> None:
        self.scratch = scratch
        scratch.lay("pigeon", {"plugin": PLUGIN}, transports="pigeon.plugin")
        with (scratch.site / "pigeon-1.0.dist-info/METADATA").open("a") as metadata:
            metadata.write('Requires-Dist: Down.Feather>=1\nRequires-Dist: quill; extra == "ink"\n')
        (scratch.site / "feather.py").write_text("def plume(): ...\n")
        library = scratch.site / "Down_Feather-1.0.dist-info"
        library.mkdir()
        (library / "METADATA").write_text("Name: down-feather\nVersion: 1.0\n")
        (library / "top_level.txt").write_text("feather\n")
        self.folder = scratch.root / "das Nest für Öle"
        self.folder.mkdir()
        (self.folder / "agents.py").write_text(AGENTS)
        (self.folder / "topology.yaml").write_text(TOPOLOGY)
        self.shown = f"./{self.folder.name}"

    def command(self, *arguments: str) -> Any:
        """Run a command on the topology, from another folder."""
        options = ("--app-dir", str(self.folder))
        return self.scratch.command(*arguments, str(self.folder / "topology.yaml"), *options)

    def as_a_module(self, *arguments: str) -> Any:
        """Run a command where Python has the current folder on its path."""
        program = (str(self.scratch.interpreter), "-c", AS_A_MODULE, *arguments)
        return self.scratch.program(*program, cwd=self.folder)


@pytest.fixture
def loft(scratch) -> Loft:
    return Loft(scratch)


LEFT_OVER = {
    "pigeon.egg-info": "",
    "pigeon-0.1.dist-info": "[civitas.v1.transports]\npigeon = nowhere\n",
    "owl-0.1.dist-info": "[civitas.v1.transports]\nowl = nowhere\n",
}


@pytest.mark.slow
def test_what_is_left_over_beside_the_agents_is_seen_by_no_command(loft) -> None:
    for name, points in LEFT_OVER.items():
        (loft.folder / name).mkdir()
        file = "PKG-INFO" if name.endswith("egg-info") else "METADATA"
        own, version = (name.rpartition(".")[0] + "-0.1").split("-")[:2]
        (loft.folder / name / file).write_text(f"Name: {own}\nVersion: {version}\n")
        (loft.folder / name / "entry_points.txt").write_text(points)
    done = loft.command("run")
    assert (done.returncode, done.stderr) == (0, "running: 1 agent; Ctrl-C stops\n")
    done = loft.command("topology", "validate")
    assert (done.returncode, done.stderr) == (0, "")
    listed = loft.as_a_module("plugins", "list", "--json")
    found = {each["name"]: each["version"] for each in json.loads(listed.stdout)}
    assert found["pigeon"] == "1.0"
    assert "owl" not in found


@pytest.mark.slow
def test_a_module_with_the_name_of_a_transports_library_is_named_as_the_culprit(loft) -> None:
    (loft.folder / "feather.py").write_text("")
    told = "transport 'pigeon' of pigeon 1.0 is broken: `feather` is {}, not the library; rename it"
    for arguments in (("run",), ("topology", "validate")):
        done = loft.command(*arguments)
        assert done.returncode == 2
        assert told.format(f"{loft.shown}/feather.py") in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert told.format("./feather.py") in loft.as_a_module("run").stderr
    assert loft.as_a_module("plugins", "check", "pigeon").returncode == 0


@pytest.mark.slow
def test_what_hides_nothing_is_noted_and_runs(loft) -> None:
    (loft.folder / "quill.py").write_text("")  # of an extra, and nobody has it
    (loft.folder / "feather").mkdir()  # no package
    for name in ("pigeon", "civitas"):
        (loft.folder / name).mkdir()
        (loft.folder / name / "__init__.py").write_text("")
    for name in ("logging", "yaml", "queue"):
        (loft.folder / f"{name}.py").write_text("")
    done = loft.command("run")
    assert done.returncode == 0, done.stderr
    here = loft.shown
    unused = "note: {}/{} can't be imported: `{}` is {}, which is in use; rename it"
    assert sorted(done.stderr.splitlines()) == sorted(
        [
            unused.format(here, "civitas/__init__.py", "civitas", "the library"),
            unused.format(here, "logging.py", "logging", "Python's own module"),
            unused.format(here, "pigeon/__init__.py", "pigeon", "the library"),
            unused.format(here, "yaml.py", "yaml", "the library"),
            f"note: `queue` is {here}/queue.py, not Python's own module; rename it",
            "running: 1 agent; Ctrl-C stops",
        ]
    )


MSGPACK = builtin(PluginKind.SERIALIZER, "msgpack")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("msgpack.py", "msgpack.py can't be imported: `msgpack` is the library, which is in use"),
        ("yaml/__init__.py", "yaml/__init__.py can't be imported: `yaml` is the library, which"),
        ("shellingham.py", "`shellingham` is DIR/shellingham.py, not the library; rename it"),
        ("colorsys.py", "`colorsys` is DIR/colorsys.py, not Python's own module; rename it"),
        ("time.py", "time.py can't be imported: `time` is Python's own module"),
        ("agents.py", None),
        ("Yaml.py", None),
        ("yaml/data.txt", None),
        ("execnet.py", None),
        ("not a module.py", None),
    ],
)
def test_a_module_is_judged_by_what_its_name_means_elsewhere(
    tmp_path, monkeypatch, file, text
) -> None:
    importlib.import_module("msgpack"), importlib.import_module("yaml")
    for name in ("shellingham", "colorsys"):  # other tests may have imported them
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    assert MSGPACK is not None
    found = [str(each) for each in namesakes(MSGPACK, [str(tmp_path)])]
    expected = [] if text is None else [text.replace("DIR", str(tmp_path))]
    assert len(found) == len(expected)
    assert all(part in whole for part, whole in zip(expected, found, strict=True))


def test_a_folder_of_the_interpreters_own_has_no_namesakes(tmp_path, monkeypatch) -> None:
    (tmp_path / "shellingham.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert MSGPACK is not None
    assert namesakes(MSGPACK, [str(tmp_path)]) == []
    assert str(tmp_path) in interpreter_path()


def test_a_folder_that_is_not_there_has_no_namesakes(tmp_path) -> None:
    assert MSGPACK is not None
    assert namesakes(MSGPACK, [str(tmp_path / "nowhere")]) == []


PATHS = """
import json, os, sys
from civitas.plugins.search_path import app_folders, enter_app_folder, interpreter_path
folder = os.getcwd()
before = interpreter_path()
for _ in range(2):
    enter_app_folder(folder)
print(json.dumps({
    "first": sys.path[0], "same": interpreter_path() == before, "apps": app_folders(),
    "own": folder in before, "count": sys.path.count(folder),
}))
"""


@pytest.mark.parametrize(
    ("start", "on_path", "expected"),
    [
        (("-P", "-c", PATHS), False, {"own": False, "count": 1}),
        (("-c", PATHS), False, {"own": False, "count": 1}),
        (("-m", "program"), False, {"own": False, "count": 1}),
        (("program.py",), False, {"own": False, "count": 1}),
        (("-P", "-c", PATHS), True, {"own": True, "count": 2}),
        (("-m", "program"), True, {"own": True, "count": 2}),
        (("program.py",), True, {"own": True, "count": 2}),
    ],
)
def test_the_path_of_discovery_is_the_interpreters_however_it_was_started(
    tmp_path, interpreter, make_scratch, start, on_path, expected
) -> None:
    scratch = make_scratch(tmp_path)
    (tmp_path / "program.py").write_text(PATHS)
    sites = (".",) if on_path else ("nowhere",)
    done = scratch.program(str(interpreter), *start, cwd=tmp_path, sites=sites)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["same"]
    assert result["first"] == str(tmp_path)
    assert {key: result[key] for key in expected} == expected
    assert (str(tmp_path) in result["apps"]) is not on_path


def test_an_error_that_blames_a_library_is_no_culprit_of_the_users() -> None:
    with pytest.raises(AttributeError) as caught:
        json.nothing  # noqa: B018
    assert culprit(caught.value) is None
    for name in (None, "", ".", 7):
        assert culprit(ImportError("no name", name=name)) is None

    class Hostile:
        def __getattr__(self, name):
            raise SystemExit(name)

    assert culprit(AttributeError("no name", obj=Hostile())) is None


@pytest.mark.parametrize("installed", [False, True])
def test_a_module_that_a_folder_of_the_path_has_before_the_library_is_a_culprit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    name = "down_of_two_folders"
    for folder in ("app", "site"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text("")
    if installed:
        (tmp_path / "app" / "down-1.dist-info").mkdir()
    folders = [str(tmp_path / "app"), str(tmp_path / "site")]
    monkeypatch.setattr(sys, "path", [*folders, *sys.path])
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"{name}.asyncio")

    found = culprit(caught.value)
    del sys.modules[name]
    if installed:
        assert found is None, "what was installed there is a library, too"
    else:
        told = f"`{name}` is {folders[0]}/{name}.py, not the library; rename it"
        assert str(found) == told


REAL = """
import sys
from civitas.plugins.errors import UnusablePluginError
from civitas.plugins.loader import load_transport
from civitas.plugins.search_path import name_app_folder
name_app_folder(sys.argv[1])
for name in sys.argv[2:]:
    try:
        load_transport(name)
    except UnusablePluginError as error:
        print(error.problem.partition("is broken: ")[2])
"""


@pytest.mark.slow
def test_the_libraries_of_our_own_transports_are_known(tmp_path) -> None:
    for file in ("redis.py", "zmq.py", "nats/__init__.py", "agents.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("")
    names = ("redis", "zmq", "nats", "in_process")
    done = completed(sys.executable, "-P", "-c", REAL, tmp_path, *names, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"`{name}` is ./{file}, not the library; rename it"
        for name, file in (("redis", "redis.py"), ("zmq", "zmq.py"), ("nats", "nats/__init__.py"))
    ]


SHARED = """
import json, sys
from civitas.plugins.catalog import PluginKind
from civitas.plugins.errors import UnusablePluginError
from civitas.plugins.loader import load_transport
from civitas.plugins.search_path import enter_app_folder, name_app_folder
name_app_folder(sys.argv[1])
try:
    load_transport("hawk")
    enter_app_folder(sys.argv[1])
    import acme.agents
    print(acme.agents.__file__)
except UnusablePluginError as error:
    print(error.problem)
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_package", [False, True])
def test_a_namespace_is_shared_by_a_plugin_and_agents_unless_one_of_them_closes_it(
    scratch, is_package
) -> None:
    scratch.lay("hawk", {}, transports="acme.hawk")
    (scratch.site / "acme").mkdir()
    (scratch.site / "acme/hawk.py").write_text(PLUGIN.replace("pigeon", "hawk"))
    (scratch.site / "feather.py").write_text("def plume(): ...\n")
    mine = scratch.root / "acme"
    mine.mkdir(parents=True)
    (mine / "agents.py").write_text(AGENTS)
    if is_package:
        (mine / "__init__.py").write_text("")
    topology = "transport: {type: hawk}\n" + TREE.replace("agents.Done", "acme.agents.Done")
    (scratch.root / "topology.yaml").write_text(topology)
    done = scratch.command("run")
    told = (
        "there is no module 'acme.agents' (./acme/__init__.py can't be imported: "
        "`acme` is the library, which is in use; rename it)"
    )
    assert (done.returncode, told in done.stderr) == ((2, True) if is_package else (0, False))


EDITABLE = """
import sys
from importlib.machinery import PathFinder

class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return PathFinder.find_spec(name, [{folder!r}]) if name == "pigeon" else None

sys.meta_path.append(Finder)
"""
"""What setuptools makes of an editable installation."""


def test_an_editable_installation_is_found_by_its_own_finder(scratch) -> None:
    scratch.lay("pigeon", {"plugin": PLUGIN}, transports="pigeon.plugin")
    elsewhere = scratch.root / "project"
    elsewhere.mkdir()
    (scratch.site / "pigeon").rename(elsewhere / "pigeon")
    (scratch.site / "sitecustomize.py").write_text(EDITABLE.format(folder=str(elsewhere)))
    program = SHARED.replace("hawk", "pigeon").replace("acme.agents", "pigeon.plugin")
    done = scratch.program(str(scratch.interpreter), "-P", "-c", program, str(elsewhere))
    assert done.stdout.strip() == str(elsewhere / "pigeon/plugin.py"), done.stderr
    copy = scratch.root / "copy/pigeon"
    copy.mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    done = scratch.program(
        str(scratch.interpreter), "-c", program, str(copy.parent), cwd=copy.parent
    )
    assert "`pigeon` is ./pigeon/__init__.py, not the library; rename it" in done.stdout


@pytest.mark.slow
def test_a_module_of_pythons_that_a_plugin_misses_is_told_with_the_file_instead(loft) -> None:
    plugin = loft.scratch.site / "pigeon/plugin.py"
    plugin.write_text(PLUGIN.replace("import feather", "from colorsys import rgb_to_hls"))
    (loft.folder / "colorsys.py").write_text("")
    done = loft.command("run")
    assert done.returncode == 2
    file = f"{loft.shown}/colorsys.py"
    told = f"its factory failed: `colorsys` is {file}, not Python's own module; rename it (ImportE"
    assert told in done.stderr
