"""A hundred plugins are installed: which of them `civitas` imports, seen by the marks they leave.

Each distribution is real metadata with two entry points, one for a transport and one for a
serializer; each of its modules writes a file when it is imported, so that no other module can
speak for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.slow

COUNT = 100

MARK = """
import os, pathlib
pathlib.Path(os.environ["MARKS"], __name__).touch()
"""

TRANSPORT = """
from civitas.plugins import TransportSpec, hookimpl
from civitas.transport import InProcessTransport

@hookimpl
def civitas_transports():
    yield TransportSpec("{name}", "Flies", lambda options, context: InProcessTransport(context))
"""

SERIALIZER = """
from civitas.plugins import SerializerSpec, hookimpl
from civitas.serializer import JsonSerializer

@hookimpl
def civitas_serializers():
    yield SerializerSpec("{name}", "Readable feathers", JsonSerializer)
"""

# Says, when Python ends, what was imported: a module that leaves no mark is seen, too.
RECORDER = """
import atexit, os, pathlib, sys
atexit.register(lambda: pathlib.Path(os.environ["MODULES"]).write_text("\\n".join(sys.modules)))
"""

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
        self.stop()
"""

TREE = "supervision: {name: root, children: [{agent: {name: a, type: agents.Done}}]}\n"


class Aviary:
    """A scratch environment with a hundred plugins: runs commands and looks for marks."""

    def __init__(self, scratch) -> None:
        self.scratch = scratch
        self.marks = scratch.root / "marks"
        self.marks.mkdir()
        self.modules = scratch.root / "modules"
        for number in range(COUNT):
            name = f"bird{number:03}"
            modules = {
                "__init__": MARK,
                "transports": MARK + TRANSPORT.replace("{name}", name),
                "serializers": MARK + SERIALIZER.replace("{name}", name),
            }
            values = {kind: f"{name}.{kind}" for kind in ("transports", "serializers")}
            scratch.lay(name, modules, **values)
        (scratch.site / "sitecustomize.py").write_text(RECORDER)
        (scratch.root / "agents.py").write_text(AGENTS)

    def imported(self) -> Iterator[str]:
        """Yield what the last command imported of the birds: by its marks, and by sys.modules."""
        modules = self.modules.read_text().split()
        assert "civitas.cli.app" in modules
        yield from (path.name for path in self.marks.iterdir())
        yield from (each for each in modules if each.startswith("bird"))

    def command(self, *args: str, **settings: str):
        """Run a command, once all marks are wiped off."""
        for mark in self.marks.iterdir():
            mark.unlink()
        self.modules.unlink(missing_ok=True)
        places = {"MARKS": str(self.marks), "MODULES": str(self.modules)}
        return self.scratch.command(*args, **places, **settings)

    def run(self, head: str, **settings: str):
        (self.scratch.root / "topology.yaml").write_text(head + TREE)
        return self.command("run", **settings)


@pytest.fixture(scope="module")
def aviary(tmp_path_factory, make_scratch) -> Aviary:
    return Aviary(make_scratch(tmp_path_factory.mktemp("aviary")))


def test_a_run_on_in_process_imports_none_of_them(aviary):
    done = aviary.run("transport: {type: in_process}\n")
    assert done.returncode == 0, done.stderr
    assert set(aviary.imported()) == set()


def test_a_list_has_all_of_them_and_imports_none(aviary):
    done = aviary.command("plugins", "list", "--json")
    assert done.returncode == 0, done.stderr
    listed = [each["name"] for each in json.loads(done.stdout) if each["name"].startswith("bird")]
    assert sorted(listed) == sorted(f"bird{number:03}" for number in range(COUNT) for _ in "ts")
    assert set(aviary.imported()) == set()


ALONE = {"bird042", "bird042.transports"}


@pytest.mark.parametrize(
    ("head", "imported"),
    [
        ("transport: {type: bird042}\n", ALONE),
        ("serializer: bird042\n", {"bird042", "bird042.serializers"}),
    ],
)
def test_a_run_imports_the_one_that_is_named(aviary, head, imported):
    done = aviary.run(head)
    assert done.returncode == 0, done.stderr
    assert set(aviary.imported()) == imported


def test_a_name_that_nobody_has_imports_none_of_them(aviary):
    done = aviary.run("transport: {type: bird420}\n")
    assert done.returncode == 2
    assert "did you mean 'bird" in done.stderr
    assert set(aviary.imported()) == set()


@pytest.mark.parametrize(
    "settings",
    [
        {"CIVITAS_PLUGINS": "bird042"},
        {"CIVITAS_PLUGINS": "bird042", "CIVITAS_DISABLE_PLUGINS": "bird041"},
    ],
    ids=" ".join,
)
def test_a_run_imports_a_plugin_that_the_settings_allow(aviary, settings):
    done = aviary.run("transport: {type: bird042}\n", **settings)
    assert done.returncode == 0, done.stderr
    assert set(aviary.imported()) == ALONE


DENIED = ("CIVITAS_DISABLE_PLUGINS", "bird042", "(its entry 'bird042')")
NOT_ALLOWED = ("CIVITAS_PLUGINS", "bird041", "(it allows 'bird041' and the built-ins)")


@pytest.mark.parametrize(
    ("head", "setting"),
    [
        ("transport: {type: bird042}\n", DENIED),
        ("transport: {type: bird042}\n", NOT_ALLOWED),
        ("serializer: bird042\n", DENIED),
        ("accept_serializers: [bird042]\n", NOT_ALLOWED),
    ],
)
def test_a_run_imports_nothing_of_a_plugin_that_the_settings_forbid(aviary, head, setting):
    name, value, reason = setting
    done = aviary.run(head, **{name: value})
    assert done.returncode == 2
    assert f"is disabled by the environment variable {name} {reason}; change it" in done.stderr
    assert set(aviary.imported()) == set()
