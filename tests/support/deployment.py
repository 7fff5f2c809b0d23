"""A system of real processes: built in a few words, and directed from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support.commands import DEADLINE, Running
from support.processes import MARK, marked, outliving
from support.waiting import eventually
from support.zmq import ProxyProcess, free_address

CREW = Path(__file__).parents[1] / "faults"
PRIMARY = "supervisor"

BEATS = {
    "heartbeat_interval": 0.3,
    "heartbeat_timeout": 0.3,
    "missed_heartbeats_threshold": 2,
}
CALM = {**BEATS, "heartbeat_interval": 1.0, "heartbeat_timeout": 1.0}
"""For systems that are busy with something else than faults of processes."""

BOUND = 0.3 * 2 + 0.3
"""Seconds after which a silent process counts as dead, at most."""

NOTICED = 10 * BOUND
"""Seconds that a test waits for it to be noticed, on a busy machine; an ask would wait for 300."""

ENDED = 30.0
"""Seconds that processes may take to end after a test."""

WHOLE_TEST = 300.0
"""Seconds after which a test has failed, whatever it waits for."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class AskError(Exception):
    """What a console's agent got instead of an answer; `kind` is the name of its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Pending:
    """An order that a console has taken, and whose outcome comes later."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def outcome(self, deadline: float = DEADLINE) -> Any:
        """Return the answer's payload.

        Raises:
            AskError: the agent got an error.
            TimeoutError: nothing came of it in time.
            ConnectionError: the console's process has ended.
        """
        with self._connection as connection, connection.makefile() as file:
            connection.settimeout(deadline)
            line = file.readline()
        if not line:
            raise ConnectionResetError("the console has ended")
        told = json.loads(line)
        if "error" in told:
            raise AskError(told["error"], told["text"])
        return told["answer"]

    def close(self) -> None:
        """Forget it."""
        self._connection.close()


class Console:
    """Sends and asks from within a process of the system."""

    def __init__(self, port_file: Path) -> None:
        self._file = port_file

    @property
    def pid(self) -> int:
        """The process id of its process."""
        return int(self._file.read_text().split()[1])

    def begin(
        self,
        to: str,
        payload: dict[str, Any] | None = None,
        *,
        timeout: float = WHOLE_TEST,
        verb: str = "ask",
    ) -> Pending:
        """Ask an agent, and return at once; what it does may take as long as a test."""
        port = int(self._file.read_text().split()[0])
        connection = socket.create_connection(("127.0.0.1", port), DEADLINE)
        order = {"verb": verb, "to": to, "payload": payload or {}, "timeout": timeout}
        connection.sendall(json.dumps(order).encode() + b"\n")
        return Pending(connection)

    def ask(self, to: str, payload: dict[str, Any] | None = None, *, timeout: float = 30.0) -> Any:
        """Ask an agent and return the payload of its answer."""
        return self.begin(to, payload, timeout=timeout).outcome()

    def send(self, to: str, payload: dict[str, Any]) -> None:
        """Send to an agent."""
        self.begin(to, payload, verb="send").outcome()


def agent(name: str, process: str | None = None, type: str = "Subject", **keys: Any) -> Any:
    """Return an agent of a topology."""
    place = {"process": process} if process is not None else {}
    return {"agent": {"name": name, "type": f"crew.{type}", **place, **keys}}


class System:
    """A topology and its processes.

    Args:
        folder: where they run.
        children: the agents under the supervisor whose keys are `supervision`.
        transport: a transport with its options; or, without `type`, options of zmq that differ.
        beats: how closely the processes are watched.
        supervision: keys of the agents' supervisor.
    """

    def __init__(
        self,
        folder: Path,
        *children: Any,
        beats: Mapping[str, float] = BEATS,
        transport: dict[str, Any] | None = None,
        **supervision: Any,
    ) -> None:
        self.folder = folder
        self.beats = beats
        given = transport or {}
        self.transport = given if "type" in given else {**_zmq(), **given}
        self._started: list[Running] = []
        self._processes = (PRIMARY, *_hosts_of(children))
        self.write("topology.yaml", *children, **supervision)

    def write(self, file: str, *children: Any, **supervision: Any) -> None:
        """Write a topology: each process gets a console besides its agents."""
        keys = {"max_restarts": 100, "backoff_base": 0.05, **supervision}
        consoles = [agent("console", type="Console")]
        consoles += [agent(_console_of(each), each, type="Console") for each in _hosts_of(children)]
        for each in (*children, *consoles):
            if "process" in each["agent"]:
                each["agent"] = {**self.beats, **each["agent"]}
        inner = [
            {"name": "subjects", **keys, "children": list(children)},
            {"name": "consoles", "max_restarts": 1_000, "backoff_base": 0.05, "children": consoles},
        ]
        root = {
            "name": "root",
            "max_restarts": 0,
            "children": [{"supervisor": each} for each in inner],
        }
        text = json.dumps({"transport": self.transport, "supervision": root}, indent=1)
        (self.folder / file).write_text(text)

    # --- its processes --------------------------------------------------------------------------

    def start(self, process: str = PRIMARY, *more: str, file: str = "topology.yaml") -> Running:
        """Start a process of the topology, and return at once."""
        return self.command("run", f"--topology={file}", f"--process={process}", *more)

    def run(self, *processes: str, file: str = "topology.yaml") -> list[Running]:
        """Start processes of the topology, the primary when none is named; return when all run."""
        running = [self.start(process, file=file) for process in processes or (PRIMARY,)]
        for each in running:
            each.until("running: ")
        return running

    def up(self, *processes: str) -> Running:
        """Run the topology with `civitas up`; return when the primary and these processes run."""
        running = self.command("up", "topology.yaml", "--grace=10")
        for name in (PRIMARY, *processes):
            running.wait_for(lambda name=name: runs(running, name), f"{name} to run")
        return running

    def command(self, *arguments: str) -> Running:
        """Start `civitas` with these arguments."""
        crew = [f"--app-dir={CREW}"] if arguments[0] in ("run", "up") else []
        running = Running([*arguments, *crew], self.folder, {MARK: str(self.folder)})
        self._started.append(running)
        return running

    def console(self, process: str = PRIMARY) -> Console:
        """Return the console of a running process."""
        return Console(self.folder / f"{_console_of(process)}.port")

    def proxy(self) -> ProxyProcess:
        """Return a proxy for a system with `start_proxy: false`; the caller starts it."""
        places = ("pub_addr", "sub_addr")
        return ProxyProcess(*(f"--{key.replace('_', '-')}={self.transport[key]}" for key in places))

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the counters of all nodes by process name, as `civitas stats` has them."""
        running = self.command("stats", "--topology=topology.yaml", "--json")
        assert running.wait() == 0, running.err
        return {node["process"]: node for node in json.loads("".join(running.out))["nodes"]}

    def handled_and_lost(self, name: str, process: str) -> tuple[int, int]:
        """Return the messages that an agent has handled, and those lost on their way to it."""
        nodes = eventually(self.stats, lambda nodes: process in nodes, trying=AssertionError)
        node = nodes[process]
        [handled] = [each["handled"] for each in node["agents"] if each["name"] == name]
        return handled, node["lost"].get(name, 0)

    def wait_joined(self) -> None:
        """Return when each process can ask each other, be it that it could not before."""
        for process in self._processes:
            for other in self._processes:
                console, name = self.console(process), _console_of(other)
                eventually(lambda c=console, n=name: c.ask(n, timeout=5), trying=AskError)

    def notes(self, name: str) -> list[str]:
        """Return what an agent noted."""
        with suppress(FileNotFoundError):
            return (self.folder / f"{name}.notes").read_text().split()
        return []

    def until_noted(self, name: str, *wanted: str) -> None:
        """Wait until an agent has noted these, in this order and nothing else."""
        eventually(lambda: self.notes(name), lambda notes: notes == [*wanted])

    # --- its end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill what is left of it."""
        for pid in marked(str(self.folder)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for running in self._started:
            running.close()
        assert not outliving(str(self.folder), ENDED)

    def stop(self, *running: Running) -> None:
        """End processes in order, with exit code 0, and see that nothing is left of the system."""
        for each in running:
            each.signal(signal.SIGTERM)
        for each in running:
            assert each.wait() == 0, each.err
            assert not each.count("Traceback"), each.err
        assert not outliving(str(self.folder), ENDED)
        assert not [path for path in self.folder.iterdir() if path.is_socket()]


def _zmq() -> dict[str, Any]:
    return {
        "type": "zmq",
        "pub_addr": free_address(),
        "sub_addr": free_address(),
        "heartbeat_interval": 0.1,
        "heartbeat_timeout": 0.5,
    }


def _hosts_of(children: Iterable[Any]) -> list[str]:
    """Return the worker processes in which these agents are."""
    named = dict.fromkeys(child["agent"].get("process") for child in children)
    return [name for name in named if name is not None]


def _console_of(process: str) -> str:
    return "console" if process == PRIMARY else f"console-{process}"


def nobody_was_taken_for_dead(*running: Running) -> None:
    """See that no process has said so of another, or of an agent."""
    for process in running:
        for word in ("has gone", "crashed", "superseded"):
            assert not process.count(word), process.err


def runs(running: Running, process: str, times: int = 1) -> bool:
    """Tell whether `up` has shown that a process runs, so many times."""
    lines = (line.split("|", 1) for line in running.err if "|" in line)
    told = [text for name, text in lines if name.strip() == process and "running: " in text]
    return len(told) >= times


Build = Callable[..., System]


@contextmanager
def systems(folder: Path, common: Mapping[str, Any] = _NOTHING, **keys: Any) -> Iterator[Build]:
    """Give what makes systems, and kill in the end what is left of them.

    Args:
        folder: where they run.
        common: options of the transport that each of them has.
        keys: other arguments that `System` gets for each of them.
    """
    made: list[System] = []
    folder.mkdir(exist_ok=True)

    def make(*children: Any, transport: Mapping[str, Any] = _NOTHING, **more: Any) -> System:
        made.append(System(folder, *children, transport={**common, **transport}, **keys, **more))
        return made[-1]

    try:
        yield make
    finally:
        for system in made:
            system.close()
