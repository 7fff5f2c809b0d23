"""What `civitas` says, to the letter, of broken plugins, also of those that hang or crash."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.broken_plugins import (
    ENDS,
    GIVES,
    HANGS,
    MISFITS,
    RAISES,
    STARTS,
    TIMEOUT,
    WORKS,
)

pytestmark = pytest.mark.slow

BROKEN = {**HANGS, **ENDS, **RAISES, **GIVES, **MISFITS, **STARTS}

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
        print("started")
        self.stop()
"""
TREE = "supervision: {name: root, children: [{agent: {name: a, type: agents.Done}}]}\n"


class Yard:
    """A scratch environment with some of these plugins."""

    def __init__(self, scratch: Any, *names: str) -> None:
        self.scratch = scratch
        for name in names:
            source = WORKS[name] if name in WORKS else BROKEN[name][0]
            scratch.lay(name, {"plugin": source}, transports=f"{name}.plugin")

    def problem(self, name: str) -> str:
        """Return what is to be said of a plugin, to the letter."""
        cause = BROKEN[name][1].replace("FILE", str(self.scratch.site / name / "plugin.py"))
        return f"transport '{name}' of {name} 1.0 is broken: {cause}"

    def check(self, names: list[str]) -> dict[str, Any]:
        """Return the verdict of `civitas plugins check` on each of the names."""
        done = self.scratch.civitas("check", *names, "--timeout", str(TIMEOUT), "--json")
        verdicts = {each["name"]: each for each in json.loads(done.stdout)}
        assert done.returncode == int(any(each["error"] for each in verdicts.values()))
        return verdicts

    def run(self, name: str, *arguments: str) -> Any:
        """Run a topology whose transport it is."""
        (self.scratch.root / "agents.py").write_text(AGENTS)
        (self.scratch.root / "topology.yaml").write_text(f"transport: {{type: {name}}}\n{TREE}")
        return self.scratch.command("run", *arguments)


def test_check_says_what_hangs_or_ends_the_process_and_where(scratch):
    samples = ["raises_what_can_not_be_told", "gives_specs_for_ever", "misses_one_method"]
    yard = Yard(scratch, *HANGS, *ENDS, *samples, *WORKS)
    runs = [*([name] for name in HANGS), [*ENDS, *samples], list(WORKS)]
    with ThreadPoolExecutor(len(runs)) as pool:  # those that hang do so at the same time
        verdicts = {
            name: verdict
            for checked in pool.map(yard.check, runs)
            for name, verdict in checked.items()
        }
    told = {name: each["error"] and each["error"]["problem"] for name, each in verdicts.items()}
    broken = {name: yard.problem(name) for name in (*HANGS, *ENDS, *samples)}
    assert told == broken | dict.fromkeys(WORKS)
    assert {each["state"] for each in verdicts.values()} == {"broken", "ok"}
    left = (scratch.site / "leaves_a_process" / "pid").read_text()
    assert is_gone(int(left)), "what the import started is still there"


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, if only its exit code is still there to be fetched."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.mark.parametrize(
    "name",
    [
        "raises_at_import",
        "raises_what_can_not_be_told",
        "gives_none",
        "has_an_async_hook",
        "misses_one_method",
        "has_a_wrong_signature",
    ],
)
def test_a_run_says_it_in_one_line_and_no_traceback(scratch, name):
    yard = Yard(scratch, name)
    done = yard.run(name)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: topology.yaml:1: transport")
    assert f": {yard.problem(name)} [plugin-broken; Python: {scratch.interpreter}]" in line


@pytest.mark.parametrize("name", ["deletes_stdout", "has_no_streams"])
def test_a_run_keeps_its_streams_whatever_an_import_does_to_them(scratch, name):
    done = Yard(scratch, name).run(name)
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert done.stderr == "running: 1 agent; Ctrl-C stops\n"


@pytest.mark.parametrize("name", STARTS)
def test_a_run_says_which_instance_of_a_transport_failed_to_start_and_where(scratch, name):
    yard = Yard(scratch, name)
    told = yard.problem(name).replace("is broken: ", "failed to start: ")
    done = yard.run(name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {told}\n"


def test_a_run_that_tells_all_has_the_traceback_as_well(scratch):
    done = Yard(scratch, "listens_to_signals").run("listens_to_signals", "--log-level=debug")
    assert "ValueError: signal only works" in done.stderr.partition("Traceback")[2]
    assert done.stderr.splitlines()[-1].startswith("error: transport 'listens_to_signals' of")
