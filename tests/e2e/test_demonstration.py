"""The word count is watched while one of its processes is killed, on each transport.

Files that are held have the count stand still where the test looks: four of them, one for each
counter, between the file that crashes its counter and the one that kills a process, and one at the
end.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.test_examples import TOPOLOGY, counted, library, plain_count
from support.commands import COMMAND, Running, completed
from support.held_files import HeldFile
from support.nats.server import NatsServer
from support.probing import probe, samples
from support.redis.server import RedisServer
from support.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),  # a busy machine takes long for the many commands
]

Start = Callable[..., Running]

COUNTERS = [f"counter_{number}" for number in range(1, 5)]
PLACES = {name: "left" if name < "counter_3" else "right" for name in COUNTERS}
KILLS = 7
"""Which file kills: the first one is handed out twice, and four are held."""
PROCESSES = {"supervisor", "left", "right"}
PATIENCE = 90.0
"""Seconds for whatever is waited for; three times what a busy machine takes for the slowest."""
RUNS = "^running: .* health at "
CHILDREN = "supervision.children"
PATIENT = [
    f"--set={CHILDREN}.counters.children.{name}.missed_heartbeats_threshold=100"
    for name in COUNTERS
]
"""What stands still is not taken for dead; of what was killed, its successor says that it is."""


@contextmanager
def broker(transport: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """Give the options that let the example run on a transport, with a server where it has one."""
    if transport == "nats":
        with NatsServer(folder) as nats:
            yield "--transport=nats", f"--set=transport.servers={nats.url}"
    elif transport == "redis":
        with RedisServer(folder) as redis:
            yield "--transport=redis", f"--set=transport.url={redis.url}"
    elif transport == "zmq":
        yield tuple(f"--set=transport.{end}_addr=ipc://{folder}-{end}" for end in ("pub", "sub"))
    else:
        yield (f"--transport={transport}",)


class Count:
    """The word count under `civitas up`, and who watches it.

    Attributes:
        running: `civitas up`.
        early: what holds all counters before one of them is killed.
        late: what holds the end.
    """

    def __init__(
        self, start: Start, repository: Path, folder: Path, options: tuple[str, ...]
    ) -> None:
        self._options = options
        self._repository = repository
        self._folder = folder
        self._library = library(folder / "library", 40)
        (self._library / "a.txt").write_text("crashes who reads it first")
        self.early = [self._held(f"a_{number}.txt") for number in range(4)]
        self.late = self._held("z.txt")
        self.running = start(
            *("up", TOPOLOGY, *options, "--health=0", "--log-format=json"),
            "--set=instruments=[log]",
            f"--set={CHILDREN}.librarian.config.crash_at=1",
            f"--set={CHILDREN}.librarian.config.kill_at={KILLS}",
            *PATIENT,
            cwd=repository,
            WORD_COUNT_FOLDER=str(self._library),
            WORD_COUNT_REPORT=str(self._report),
        )

    def close(self) -> None:
        """Hold nobody any more."""
        for each in (*self.early, self.late):
            each.close()

    @property
    def _report(self) -> Path:
        return self._folder / "report.json"

    def _held(self, name: str) -> HeldFile:
        return HeldFile(self._library / name, f"held {name}")

    def told(self, text: str) -> list[dict[str, Any]]:
        """Return the records of the log that have a text, the oldest first."""
        records = (json.loads(line) for line in [*self.running.err, *self.running.out])
        return [each for each in records if re.search(text, each["message"])]

    def starts(self) -> Counter[str]:
        """Return how often each process has said that it runs."""
        return Counter(each["process"] for each in self.told(RUNS))

    def addresses(self) -> dict[str, str]:
        """Return where each process answers, or did last."""
        said = self.told(RUNS)
        return {each["process"]: re.findall(r"http://[^;]*", each["message"])[0] for each in said}

    def civitas(self, command: str, *more: str) -> tuple[int, str, str]:
        """Run a command about the system; return its exit code, stdout and stderr."""
        patient = f"--connect-timeout={PATIENCE}", f"--timeout={PATIENCE}"
        given = (command, *more, f"--topology={TOPOLOGY}", *self._options, *patient)
        done = completed(COMMAND, *given, cwd=self._repository)
        return done.returncode, done.stdout, done.stderr

    def top_of(
        self, good: Callable[[dict[str, Any]], bool]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the processes and the agents of the first frame whose agents are good."""
        seen: list[dict[str, Any]] = []

        def look() -> str:
            code, out, err = self.civitas("top", "--once", "--json", "--interval=0.2")
            assert code == 0, err
            frame = json.loads(out)
            seen[:] = (
                {each[key]: each for each in frame[what]}
                for what, key in (("processes", "process"), ("agents", "agent"))
            )
            return out

        eventually(look, lambda _: good(seen[1]), PATIENCE)
        processes, agents = seen
        return processes, agents

    def trace(self, key: str) -> str:
        """Return what the log tells of a message."""
        log = self._folder / "system.log"
        log.write_text("".join(f"{line}\n" for line in self.running.err))
        done = completed(COMMAND, "trace", key, log)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def finish(self) -> None:
        """Let the count end, and see that it is whole."""
        self.late.release()
        assert self.running.wait(PATIENCE) == 0
        files, words = plain_count(self._library)
        assert len(files) == 47
        assert counted(self._report) == {"files": files, "words": words}


def wait_until_well(url: str) -> None:
    """Wait until a process is live and ready; see that its metrics are OpenMetrics, and say so."""
    eventually(
        lambda: [probe(url, path).status for path in ("/live", "/ready")],
        lambda seen: seen == [200, 200],
        PATIENCE,
    )
    eventually(
        lambda: samples(probe(url, "/metrics").text)["civitas_ready"],
        lambda seen: seen == {(): 1},
        PATIENCE,
    )


def all_run(count: Count) -> dict[str, str]:
    """Wait until all processes run, and everyone says so; return where they answer."""
    count.running.wait_for(lambda: set(count.starts()) == PROCESSES, "all to run", PATIENCE)
    well = (0, "ok: 3 processes, 5 agents\n")
    eventually(lambda: count.civitas("check"), lambda seen: seen[:2] == well, PATIENCE)
    addresses = count.addresses()
    for url in addresses.values():
        wait_until_well(url)
    return addresses


def killed_and_back(count: Count, at: dict[str, str]) -> str:
    """Wait until a process was killed and runs again; return which one.

    That another process is away is no reason against the others, which answer at these addresses.
    """
    for each in count.early:
        each.release()
    count.running.until("was killed by SIGKILL; starting again", PATIENCE)
    [record] = count.told("was killed by SIGKILL")
    killed = str(record["message"]).split()[0]
    [survivor] = set(at) - {killed, "supervisor"}
    asked = (("supervisor", "/live"), ("supervisor", "/ready"), (survivor, "/live"))

    def look() -> bool:
        assert [probe(at[name], path).status for name, path in asked] == [200, 200, 200]
        return count.starts()[killed] == 2

    eventually(look, deadline=PATIENCE)
    return killed


def came_back(agents: dict[str, Any], names: list[str]) -> bool:
    """Return whether all of these agents run, and are known to have crashed with their process."""
    crashes = [agents[name]["last_crash"] or {"text": ""} for name in names]
    states = {agents[name]["state"] for name in names}
    return states == {"running"} and all("has gone: " in each["text"] for each in crashes)


def idle(agents: dict[str, Any], names: list[str]) -> list[str]:
    """Return those of these agents that run, and have nothing in hand."""
    return [
        name for name in names if agents[name]["state"] == "running" and not agents[name]["in_hand"]
    ]


@pytest.mark.parametrize("transport", ["zmq", "nats", "redis"])
def test_it_is_watched_while_a_process_is_killed_and_comes_back(
    start: Start, repository: Path, tmp_path: Path, transport: str
) -> None:
    with (
        broker(transport, tmp_path / "broker") as options,
        closing(Count(start, repository, tmp_path, options)) as count,
    ):
        at = all_run(count)
        eventually(lambda: all(each.is_read for each in count.early), deadline=PATIENCE)
        before, agents = count.top_of(lambda seen: all(seen[name]["in_hand"] for name in COUNTERS))
        [crash] = [each["last_crash"] for each in agents.values() if each["last_crash"]]
        assert crash["text"] == "InjectedCrashError: in the middle of a.txt"

        killed = killed_and_back(count, at)
        mine = [name for name in COUNTERS if PLACES[name] == killed]
        after, agents = count.top_of(lambda seen: came_back(seen, mine))
        for name in mine:
            assert f"process '{killed}' (node " in agents[name]["last_crash"]["text"]
        same = {name for name in PROCESSES if after[name]["node"] == before[name]["node"]}
        assert same == PROCESSES - {killed}
        all_run(count)

        # A restart waits for the file in hand, so it is that of one which does not hold the last.
        eventually(lambda: count.late.is_read, deadline=PATIENCE)
        _, agents = count.top_of(lambda seen: idle(seen, mine) != [])
        code, _, err = count.civitas("restart", idle(agents, mine)[0])
        assert code == 0, err
        [begun] = count.told("^sent begin to librarian$")
        tree = count.trace(begun["extra"]["message_log"]["trace"])
        assert "begin librarian -> librarian  sent " in tree
        assert re.search(r"handled in (left|right), took .* ms: InjectedCrashError", tree)
        count.finish()


def test_in_one_process_it_is_watched_by_its_health_alone(
    start: Start, repository: Path, tmp_path: Path
) -> None:
    with (
        broker("in_process", tmp_path) as options,
        closing(Count(start, repository, tmp_path, options)) as count,
    ):
        count.running.wait_for(lambda: "supervisor" in count.starts(), "it to run", PATIENCE)
        [url] = count.addresses().values()
        eventually(
            lambda: samples(probe(url, "/metrics").text)["civitas_messages_delivered_total"],
            lambda found: found == {(): KILLS},
            PATIENCE,
        )
        wait_until_well(url)
        for command in (("top", "--once"), ("restart", "counter_1"), ("stats",)):
            code, out, err = count.civitas(*command)
            assert (code, out) == (2, "")
            assert "/ready and /metrics of `civitas run --health PORT` say" in err
        port = url.rpartition(":")[2]
        assert count.civitas("check", f"--set=health.listen={port}")[:2] == (0, "ok: 1 process\n")

        for each in count.early:
            each.release()
        agents = ("civitas_agent_errors_total", "civitas_agent_restarts_total")
        eventually(
            lambda: samples(probe(url, "/metrics").text),
            lambda found: [sum(found[each].values()) for each in agents] == [2, 2],
            PATIENCE,
        )
        wait_until_well(url)
        count.finish()
