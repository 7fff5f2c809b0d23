"""The house rules: who may import whom, what core may name, how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import printed_by

REPOSITORY = Path(__file__).parents[2]
CORE = REPOSITORY / "civitas-core/src/civitas"


def sources() -> Iterator[Path]:
    packages = sorted(path.parent for path in REPOSITORY.glob("civitas-*/pyproject.toml"))
    others = ("benchmarks", "examples", "release", "tests")
    for folder in (*packages, *(REPOSITORY / name for name in others)):
        yield from sorted(folder.rglob("*.py"))


def linter_settings() -> dict[str, Any]:
    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    settings: dict[str, Any] = tool["importlinter"]
    return settings


def test_core_names_no_transport_outside_of_the_hint_table() -> None:
    named = [
        f"{path.relative_to(CORE)}:{number}: {line.strip()}"
        for path in sorted(CORE.rglob("*"))
        if path.is_file() and path.suffix in {".py", ".json", ".tmpl"}
        if path.name not in {"known.json", "LICENSE.tmpl"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"zmq|nats(?![a-z])|redis", line, re.IGNORECASE)
    ]
    assert named == []


def test_no_file_has_more_than_400_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources()}
    assert {str(p.relative_to(REPOSITORY)): n for p, n in lengths.items() if n > 400} == {}


PUBLIC = {
    *("cli", "client", "components", "envelope", "errors", "instruments", "messages", "plugins"),
    *("process", "registry", "runtime", "serializer", "supervisor", "testing", "topology"),
    *("trace", "transport", "typed", "worker", "__main__"),
}
ROOMS = {
    *("_agents", "_authoring", "_bus", "_cluster", "_health", "_node", "_signing"),
    *("_supervision", "_typed"),
}


FOUNDATION = {"_installation", "_interrupt", "_platform", "_program", "_published", "_text"}


def test_the_top_level_of_core_is_what_people_import_and_rooms() -> None:
    there = {path.relative_to(CORE).parts[0].removesuffix(".py") for path in CORE.rglob("*.py")}
    assert there == PUBLIC | ROOMS | FOUNDATION | {"__init__", "__main__"}


NOT_SIMULATED = ("_platform.py", "_authoring/", "cli/", "testing/")


def test_clocks_and_random_numbers_are_read_in_one_place() -> None:
    found = [
        f"{path.relative_to(CORE)}:{number}: {line.strip()}"
        for path in sorted(CORE.rglob("*.py"))
        if not path.relative_to(CORE).as_posix().startswith(NOT_SIMULATED)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.match(r"(import|from) (time|random|uuid|secrets)\b", line) or "os.urandom" in line
    ]
    assert found == []


PLACES_OF_TEXT = {
    r"^\s*(import|from) rich\b": {
        "civitas/cli/tables.py",
        *("civitas/cli/top/screen.py", "civitas/cli/top/terminal.py"),  # the former escapes
    },
    r"\bgetLogger\(": {
        *("civitas/_text.py", "civitas/cli/logs.py"),  # the latter sets a level
        "civitas/testing/access.py",  # a handler that reads what is logged
        "civitas/testing/simulation/run.py",  # and this one a handler
    },
    r"\bs(ys\.std(out|err)|treams\.(out|err)\(\))\.write\(|\bos\.write\((1|2|sys)\b|\becho\(": {
        *("civitas/cli/output.py", "civitas/cli/signals.py"),  # the latter has its own words alone
        "civitas/testing/tcp_link.py",
        # progress, in its own words
        *("civitas/cli/dead_letters/output.py", "civitas/cli/bench/output.py"),
    },
}
"""What writes texts of others, and the files that escape them, or have none."""


@pytest.mark.parametrize("pattern", PLACES_OF_TEXT)
def test_what_writes_texts_of_others_stands_where_they_are_escaped(pattern: str) -> None:
    found = {
        path.relative_to(source).as_posix()
        for source in REPOSITORY.glob("civitas-*/src")
        for path in sorted(source.rglob("*.py"))
        if re.search(pattern, path.read_text(), re.MULTILINE)
    }
    assert found == PLACES_OF_TEXT[pattern]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_opens_with_its_theory(room: str) -> None:
    theory = ast.get_docstring(ast.parse((CORE / room / "__init__.py").read_text()))
    assert theory
    files = {path.relative_to(CORE / room).parts[0] for path in (CORE / room).rglob("*.py")}
    assert [f for f in sorted(files - {"__init__.py"}) if f.removesuffix(".py") not in theory] == []


@pytest.mark.parametrize("distribution", sorted(REPOSITORY.glob("civitas-*/src")), ids=str)
def test_a_class_name_stands_once_in_a_distribution(distribution: Path) -> None:
    found = [
        (node.name, path.relative_to(distribution))
        for path in sorted(distribution.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    names = Counter(name for name, _ in found)
    assert [each for each in found if names[each[0]] > 1] == []


def test_no_function_of_the_packages_needs_scrolling() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"
        for path in sources()
        if "tests" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("module", ["civitas", "civitas.plugins", "civitas.runtime"])
def test_the_library_loads_neither_pydantic_nor_typer_nor_rich(module: str) -> None:
    code = (
        f"import sys, {module}; from civitas.plugins import hookimpl; from civitas import *\n"
        "print(sorted({'pydantic', 'typer', 'rich', 'click', 'packaging'} & set(sys.modules)))"
    )
    assert printed_by(code) == "[]"


def test_a_runtime_on_in_process_loads_none_of_them_either() -> None:
    code = (
        "import asyncio, sys\n"
        "from civitas import *\n"
        "async def main():\n"
        "    async with Runtime(Supervisor('root', [AgentProcess('a')])): pass\n"
        "asyncio.run(main())\n"
        "print(sorted({'pydantic', 'typer', 'rich', 'yaml', 'importlib_metadata', 'packaging'}"
        " & set(sys.modules)))"
    )
    assert printed_by(code) == "[]"


def test_a_runtime_on_in_process_loads_nothing_that_only_a_network_needs() -> None:
    code = (
        "import asyncio, sys\n"
        "from civitas import *\n"
        "async def main():\n"
        "    async with Runtime(Supervisor('root', [AgentProcess('a')])): pass\n"
        "asyncio.run(main())\n"
        "rooms = ('civitas._cluster.', 'civitas.transport.')\n"
        "print(*sorted(each for each in sys.modules if each.startswith(rooms)))"
    )
    local = (
        "in_process",
        "plugin",
        "protocol",
        "reply_inbox",
        "request_in_flight",
        "tasks",
        "interruption",
    )
    expected = ["civitas._cluster.config", *(f"civitas.transport.{each}" for each in local)]
    assert printed_by(code).split() == sorted(expected)


def test_every_public_name_of_transports_is_there() -> None:
    code = (
        "import civitas.transport as room\n"
        "assert set(room.__all__) <= set(dir(room))\n"
        "from civitas.transport import *\n"
        "print(len(room.__all__), hasattr(room, 'nothing'), sorted(set(room.__all__) - set(dir())))"
    )
    assert printed_by(code).split(" ", 1)[1] == "False []"


def test_imports_point_one_way_and_make_no_cycle() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(linter_settings()['contracts'])} kept, 0 broken" in done.stdout


def test_the_contracts_of_imports_have_every_package_of_the_workspace() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("civitas-*/src/*/__init__.py")}
    plugins = packages - {"civitas"}
    settings = linter_settings()
    contracts = {each["name"]: each for each in settings["contracts"]}
    assert set(settings["root_packages"]) == packages
    assert packages <= set(contracts["No cycles, at any depth"]["ancestors"])
    assert set(contracts["Plugins use what core documents"]["source_modules"]) == plugins
    assert set(contracts["Plugins do not know each other"]["modules"]) == plugins
    core = contracts["Core knows no plugin, and none of their libraries"]
    assert plugins <= set(core["forbidden_modules"])


def test_no_file_names_a_package_index_or_a_path_of_some_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    hosts = re.compile("|".join(("pypi" r"\.org", "pythonhosted" r"\.org", "/(home|root|Users)/")))
    named = [
        name
        for name in listed.stdout.splitlines()
        if (path := REPOSITORY / name).is_file()
        and name != "LICENSE"
        and hosts.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert named == []


STARTED_OTHERWISE = {
    "civitas/transport/tasks.py": "it is how all others are started",
    "civitas/cli/event_loop.py": "the whole of a process, which ends with it",
    "civitas/cli/top/watching.py": "awaited where they are started",
    "civitas/cli/process_group/group.py": "a TaskGroup, which raises what its tasks raise",
    "civitas/testing/agents/turns.py": "a test awaits it",
    "civitas/testing/agents/world.py": "the world reports what nobody has handled",
    "civitas/testing/network.py": "a test awaits it",
    "civitas/testing/tcp_link.py": "a test's, which ends with its link",
    "civitas/testing/simulation/process.py": "the world reports what nobody has handled",
    "civitas/testing/simulation/storm.py": "awaited where they are started",
    "civitas_nats/cli/server.py": "awaited where they are started",
    "civitas_nats/connector.py": "awaited where it is started",
    "civitas/transport/dead_letters/batch.py": "awaited where it is started",
    "civitas_nats/jetstream/durable_delivery.py": "awaited where they are started",
}
"""Files that start tasks by other means than `start_task`, and why that hides no error."""

UNGUARDED = {
    "civitas/_agents/retrying.py _settle": "it settles a future",
    "civitas/_agents/slot.py _report_cancellation": "it reports to the supervisor, in a task",
    "civitas/_bus/routing_table.py close": "it fails requests, and calls nobody",
    "civitas/_bus/wait_queue.py _expire": "it settles a future",
    "civitas/_node/host.py _begin_stop": "it starts a task",
    "civitas/_node/node.py _part_failed": "it ends the node",
    "civitas/transport/reply_inbox.py _start_own_timers": "it starts timers, and settles futures",
    "civitas/transport/request_in_flight.py end_publish": "it cancels a task",
    "civitas/transport/reply_inbox.py expire": "it settles a future",
    "civitas/transport/tasks.py report": "it reports",
    "civitas/cli/bench/command.py end": "the command's own loop, whose main task it cancels",
    "civitas/cli/bench/worker.py end": "the process's own loop, whose main task it cancels",
    "civitas/cli/bench/worker.py wake": "it settles a future",
    "civitas/cli/event_loop.py exited": "it stops the node",
    "civitas/cli/process_group/child.py _read": "the command's own loop, which has no node",
    "civitas/cli/process_group/group.py _poll": "the command's own loop, which has no node",
    "civitas/cli/process_group/notices.py _read": "the command's own loop, which has no node",
    "civitas/cli/top/terminal.py _ended": "it sets an event",
    "civitas/cli/top/terminal.py _read": "the command's own loop: what is logged is shown",
    "civitas/cli/top/terminal.py call": "the command's own loop: what is logged is shown",
    "civitas/cli/up.py stop": "the command's own loop, which has no node",
    "civitas/testing/agents/turns.py _give_up": "it fails what a test awaits",
    "civitas/testing/agents/turns.py _take_turns": "it hands its errors to what a test awaits",
    "civitas/testing/simulation/deployment.py set": "it sets an event",
    "civitas/testing/simulation/loop.py callback": "a method of the loop itself",
    "civitas/testing/simulation/loop.py settle": "it settles a future",
    "civitas/testing/simulation/loop.py work": "it settles a future",
    "civitas_nats/cli/server.py set": "it sets an event",
    "civitas_nats/connector.py abort_socket": "it closes a socket",
}
"""Callbacks of event loops that `guard_callback` has not made, and why that hides no error."""

GUARDED = re.compile(r"_later$|^guarded$")
"""The names by which what `guard_callback` returned is known."""


def calls_in_packages(*names: str) -> Iterator[tuple[str, ast.Call]]:
    for source in sorted(REPOSITORY.glob("civitas-*/src")):
        for path in sorted(source.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                name = getattr(called, "attr", getattr(called, "id", ""))
                if isinstance(node, ast.Call) and name in names:
                    yield path.relative_to(source).as_posix(), node


def test_tasks_are_started_in_one_way() -> None:
    found = {place for place, _ in calls_in_packages("create_task", "ensure_future", "Task")}
    assert found == set(STARTED_OTHERWISE)


def test_a_callback_of_an_event_loop_is_guarded() -> None:
    positions = {"call_later": 1, "call_at": 1, "call_soon": 0, "call_soon_threadsafe": 0}
    positions |= {"add_reader": 1, "add_writer": 1, "add_signal_handler": 1}
    found = set()
    for place, call in calls_in_packages(*positions):
        function = call.func
        assert isinstance(function, ast.Attribute)
        callback = call.args[positions[function.attr]]
        name = getattr(callback, "attr", getattr(callback, "id", ""))
        if not GUARDED.search(name):
            found.add(f"{place} {name}")
    assert found == set(UNGUARDED)
