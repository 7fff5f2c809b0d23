"""Every command, given hostile text by files, plugins and peers: a terminal obeys none of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

import civitas.cli.app
import civitas_nats.cli
import civitas_zmq.cli
from support.commands import Running
from support.forked_commands import ForkedCommands, forked_commands
from support.hostile import HOSTILE, NAME, NAME_SHOWN, SHOWN, obeyed

pytestmark = pytest.mark.slow

APPS = {
    "civitas": civitas.cli.app.app,
    "civitas-nats": civitas_nats.cli.app,
    "civitas-zmq": civitas_zmq.cli.app,
}

AGENTS = f"""
import logging, sys
from civitas import AgentProcess

HOSTILE = {HOSTILE!r}

class Talker(AgentProcess):
    async def handle(self, message):
        if message.type == "fail":
            raise type("Bad" + HOSTILE, (Exception,), {{}})(HOSTILE)
        return self.reply({{HOSTILE: [HOSTILE], "bytes": b"\\xff", "nan": float("nan")}})

    async def on_error(self, error, message):
        from civitas import ErrorAction
        return ErrorAction.SKIP

class Printer(AgentProcess):
    async def on_start(self):
        for stream in (sys.stdout, sys.stderr):
            stream.buffer.write(HOSTILE.encode() + b"\\xe2\\x82\\xff\\r\\n")
            stream.buffer.flush()
        self.stop()

class Logger(AgentProcess):
    async def on_start(self):
        logging.getLogger("agents").warning("I have %s", HOSTILE)
        raise ValueError(HOSTILE)

class Refuses(AgentProcess):
    def __init__(self, name):
        raise ValueError(HOSTILE)
"""

PLUGIN = f"""
from civitas.plugins import TransportSpec, hookimpl
from pydantic import BaseModel, ConfigDict, Field

HOSTILE = {HOSTILE!r}

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    loft: str = Field(HOSTILE, description=HOSTILE)

@hookimpl
def civitas_transports():
    if __name__ == "broken_plugin":
        raise ValueError(HOSTILE)
    yield TransportSpec("pigeon", HOSTILE, print, Options)
"""


def topology(*agents: dict[str, Any], **more: Any) -> str:
    """Write a topology of these agents; JSON is YAML."""
    children = [{"agent": each} for each in agents]
    return json.dumps({"supervision": {"name": f"{NAME}s", "children": children}, **more})


def logged() -> str:
    """Write the log of one message, of which all is hostile but its id and its trace."""
    texts = dict.fromkeys(("type", "sender", "recipient", "outcome", "reason"), HOSTILE)
    about = {"event": "handled", "id": "1", "trace": "t", "span": "s", **texts}
    line = {
        "time": "2026-01-01T00:00:00Z",
        "message": HOSTILE,
        "process": HOSTILE,
        "agent": HOSTILE,
    }
    lines = [{**line, "extra": {"message_log": about}}, {**line, "trace": "t", "level": HOSTILE}]
    return "".join(json.dumps(each) + "\n" for each in lines) + f"{HOSTILE}\n"


def named(type: str, **more: Any) -> dict[str, Any]:
    return {"name": NAME, "type": f"agents.{type}", **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all the commands find: topologies, agents' modules and installed plugins."""
    folder = tmp_path_factory.mktemp("hostile")
    bus = {
        "type": "zmq",
        "pub_addr": f"ipc://{folder}/pub",
        "sub_addr": f"ipc://{folder}/sub",
    }
    unknown = {**named("Talker"), "type": f"{HOSTILE}.Agent"}
    files = {
        "agents.py": AGENTS,
        "system.yaml": topology(named("Talker"), transport=bus),
        "good.yaml": topology(named("Talker", config={}, process=NAME)),
        "prints.yaml": topology(named("Printer", process=NAME), transport=bus),
        "fails.yaml": topology(named("Logger")),
        "refuses.yaml": topology(named("Refuses")),
        "wrong.yaml": topology(unknown, **{HOSTILE: HOSTILE}, serializer=HOSTILE),
        "elsewhere.yaml": topology(transport={"type": f"pigeon{HOSTILE}"}),
        "no.yaml": f"a: *{HOSTILE}",
        "log.json": logged(),
        "site/evil_plugin.py": PLUGIN,
        "site/broken_plugin.py": PLUGIN,
        "site/evil-1.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: evil\x1b[2J\nVersion: 1\x9b\u202e\n"
            f"Summary: {HOSTILE!r}\nRequires-Dist: civitas-core <1\x1b[2J\n"
        ),
        "site/evil-1.dist-info/entry_points.txt": (
            f"[civitas.v1.transports]\npigeon = evil_plugin\n{NAME} = broken_plugin\n"
        ),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[None]:
    """A running system, for the commands that talk to one."""
    running = Running(["run", "system.yaml"], folder, {})
    running.until("running: 1 agent")
    yield
    running.close()


class Case(NamedTuple):
    """Arguments of a command, and how the hostile text is shown that it meets."""

    arguments: tuple[str, ...]
    shown: str = SHOWN
    talks: bool = False


def case(*arguments: str, shown: str = SHOWN, talks: bool = False) -> Case:
    return Case(arguments, shown, talks)


HEAD = r"\x1b[2J"
JSON_HEAD = r"\u001b[2J"
CONFIG = "supervision.children.0.agent.config"
TALK = ("--topology=system.yaml",)
CASES: dict[str, list[Case]] = {
    "civitas run": [
        case("fails.yaml"),
        case("fails.yaml", "--log-level=debug"),
        case("refuses.yaml"),
        case("wrong.yaml"),
        case("no.yaml", shown="no.yaml:1"),
        case(HOSTILE),
        case("good.yaml", f"--process=x{HOSTILE}"),
        case("good.yaml", f"--log-level={HOSTILE}"),
        case("good.yaml", f"--health={HOSTILE}", shown="--health"),
        case("good.yaml", f"--transport={HOSTILE}"),
        case("good.yaml", f"--overlay={HOSTILE}"),
        case(HOSTILE, f"--topology=x{HOSTILE}", shown=HEAD),
    ],
    "civitas up": [
        case("prints.yaml", shown=f"{HEAD}"),
        case("wrong.yaml"),
        case("prints.yaml", f"--set={HOSTILE}=1"),
    ],
    "civitas ask": [
        case(NAME, "{}", *TALK, shown=JSON_HEAD, talks=True),
        case(NAME, "{}", "--json", *TALK, shown=JSON_HEAD, talks=True),
        case(NAME, "{}", "--type=fail", *TALK, shown=HEAD, talks=True),
        case(f"x{NAME}", "{}", *TALK, shown=HEAD, talks=True),
        case(NAME, HOSTILE, *TALK, shown=HEAD),
    ],
    "civitas send": [
        case(NAME, "{}", *TALK, shown=NAME_SHOWN, talks=True),
        case(NAME, "{}", "--json", *TALK, shown=JSON_HEAD, talks=True),
        case("x", f"--topology={HOSTILE}"),
    ],
    "civitas stats": [
        case(*TALK, shown=NAME_SHOWN, talks=True),
        case("--json", *TALK, shown=JSON_HEAD, talks=True),
        case("--topology=wrong.yaml"),
    ],
    "civitas check": [
        case(*TALK, "--json", shown=JSON_HEAD, talks=True),
        case("wrong.yaml"),
        case("elsewhere.yaml", "--connect-timeout=0.1", shown=HEAD),
        case("good.yaml", f"--process=x{HOSTILE}"),
    ],
    "civitas top": [
        case("system.yaml", "--once", shown=NAME_SHOWN, talks=True),
        case("system.yaml", "--once", "--json", shown=JSON_HEAD, talks=True),
        case("wrong.yaml", "--once"),
        case(HOSTILE, "--once"),
        case("good.yaml", shown="the live view needs a terminal"),
    ],
    "civitas restart": [
        case(NAME, *TALK, shown=NAME_SHOWN, talks=True),
        case(NAME, "--json", *TALK, shown=JSON_HEAD, talks=True),
        case(f"x{NAME}", *TALK, shown=HEAD, talks=True),
        case("x", f"--topology={HOSTILE}"),
    ],
    "civitas trace": [
        case("1", "log.json", shown=HEAD),
        case("1", "log.json", "--json", shown=JSON_HEAD),
        case(HOSTILE, "log.json", shown="error: "),
        case("1", HOSTILE, shown=HEAD),
    ],
    "civitas bench": [
        case("wrong.yaml"),
        case("good.yaml", f"--transport={HOSTILE}"),
        case("elsewhere.yaml", shown=HEAD),
    ],
    "civitas dead-letters list": [
        case("--topology=wrong.yaml"),
        case("--topology=elsewhere.yaml", shown=HEAD),
        case("--topology=good.yaml", f"--agent={HOSTILE}", shown="error: "),
    ],
    "civitas dead-letters show": [
        case("1", "--topology=wrong.yaml"),
        case(HOSTILE, "--topology=good.yaml", shown="error: "),
    ],
    "civitas dead-letters replay": [
        case("--all", f"--to={HOSTILE}", "--topology=good.yaml", shown="error: ")
    ],
    "civitas dead-letters drop": [
        case("--yes", f"--agent={HOSTILE}", "--topology=good.yaml", shown="error: ")
    ],
    "civitas dead-letters move": [
        case(f"--from={HOSTILE}", "--to=x", "--topology=good.yaml", shown="error: "),
        case(f"--from={NAME}", f"--to=x{NAME}", "--topology=elsewhere.yaml", shown=HEAD),
    ],
    "civitas topology validate": [
        case("wrong.yaml"),
        case("wrong.yaml", "--json", shown=JSON_HEAD),
        case("elsewhere.yaml", shown=HEAD),
        case("good.yaml", f"--set=x{HOSTILE}=1"),
        case("good.yaml", f"--set=x{HOSTILE}"),
        case("good.yaml", shown=NAME_SHOWN),
    ],
    "civitas topology show": [
        case("good.yaml", f"--set={CONFIG}.{NAME}=1", "--no-import", shown=NAME_SHOWN),
        case("good.yaml", shown=NAME_SHOWN),
        case("good.yaml", "--json", shown=JSON_HEAD),
        case("wrong.yaml"),
    ],
    "civitas topology schema": [case(shown=JSON_HEAD)],
    "civitas plugins list": [case(shown=HEAD), case("--json", shown=JSON_HEAD)],
    "civitas plugins show": [
        case("pigeon"),
        case("pigeon", "--json", shown=JSON_HEAD),
        case(NAME, shown=HEAD),
        case(HOSTILE, shown=HEAD),
        case("pigeon", f"--{HOSTILE}", shown=HEAD),
    ],
    "civitas plugins check": [
        case(shown=HEAD),
        case("--json", shown=JSON_HEAD),
        case(HOSTILE, shown=HEAD),
    ],
    "civitas new": [
        case(HOSTILE, shown=HEAD),
        case("shop", f"--transport={HOSTILE}", shown=HEAD),
        case("shop", f"--directory={HOSTILE}/x", shown=HEAD),
    ],
    "civitas plugins new": [
        case("transport", HOSTILE, shown=HEAD),
        case("transport", "new_one", f"--directory=made{NAME}", shown=HEAD),
        case("transport", "other_one", f"--directory=others{NAME}", "--json", shown=JSON_HEAD),
    ],
    "civitas version": [case(shown="civitas-core"), case(HOSTILE, shown=HEAD)],
    "civitas-nats dead-letters list": [
        case(f"--servers={HOSTILE}", shown="error: --servers"),
        case(f"--stream={HOSTILE}", shown=HEAD),
        case("--topology=wrong.yaml", shown="no transport of type nats"),
        case("--topology=elsewhere.yaml", shown=HEAD),
    ],
    "civitas-nats dead-letters replay": [
        case("--all", f"--servers={HOSTILE}", shown="error: --servers")
    ],
    "civitas-nats dead-letters drop": [
        case("--all", "--yes", f"--dead-letter-subject={HOSTILE}", shown=HEAD),
        case(f"--agent={HOSTILE}", "--yes", shown="error: "),
    ],
    "civitas-nats dead-letters show": [case("1", f"--servers={HOSTILE}", shown="error: --servers")],
    "civitas-nats dead-letters move": [
        case(f"--from={HOSTILE}", "--to=x", shown="error: "),
        case("--from=x", "--to=y", f"--servers={HOSTILE}", shown="error: --servers"),
    ],
    "civitas-nats server": [case(f"--port={HOSTILE}", shown="error: ")],
    "civitas-nats streams create": [
        case(f"--servers={HOSTILE}", shown="error: --servers"),
        case("--topology=elsewhere.yaml", shown=HEAD),
    ],
    "civitas-zmq proxy": [
        case(f"--pub-addr={HOSTILE}", shown=HEAD),
        case(f"--topology={HOSTILE}"),
        case("--topology=elsewhere.yaml", shown=HEAD),
        case(f"--secret-key-file={HOSTILE}", shown=HEAD),
        case(f"--allow={HOSTILE}", shown="error: "),
    ],
    "civitas-zmq keygen": [
        case(f"keys{NAME}", shown=HEAD),
        case(f"more{NAME}", "--json", shown=JSON_HEAD),
        case(f"{HOSTILE}/x/y", shown=HEAD),
    ],
}


def commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        below = f"{path} {name}"
        yield from commands(command, below) if hasattr(command, "commands") else (below,)


def test_every_command_has_a_case() -> None:
    found = [
        each for name, app in APPS.items() for each in commands(typer.main.get_command(app), name)
    ]
    assert sorted(found) == sorted(CASES)


@pytest.fixture(scope="module")
def programs(folder: Path) -> Iterator[ForkedCommands]:
    """Run commands where the hostile plugins are found, in lines of 400 columns."""
    search = os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))
    with forked_commands(folder, PYTHONPATH=search, COLUMNS="400") as commands:
        yield commands


def shown_by(name: str, case: Case, programs: ForkedCommands) -> str:
    """Run a command, and return all that it has printed."""
    done = programs.run(*name.split(" "), *case.arguments)
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr or "debug" in str(case.arguments), done.stderr
    if "--json" in case.arguments or name.endswith("schema"):
        json.loads(done.stdout, parse_constant=pytest.fail)
    return done.stdout + done.stderr


def cases(*, talks: bool) -> pytest.MarkDecorator:
    chosen = [
        pytest.param(name, each, id=f"{name}-{number}")
        for name, cases in CASES.items()
        for number, each in enumerate(cases)
        if each.talks is talks
    ]
    return pytest.mark.parametrize(("name", "case"), chosen)


def check(name: str, case: Case, programs: ForkedCommands) -> None:
    output = shown_by(name, case, programs)
    assert obeyed(output) == []
    assert case.shown in output
    assert not any(line.startswith("error: forged") for line in output.splitlines())


@cases(talks=False)
def test_no_terminal_obeys_what_a_command_shows(
    name: str, case: Case, programs: ForkedCommands
) -> None:
    check(name, case, programs)


@cases(talks=True)
@pytest.mark.usefixtures("system")
def test_no_terminal_obeys_what_a_running_system_answers(
    name: str, case: Case, programs: ForkedCommands
) -> None:
    check(name, case, programs)
