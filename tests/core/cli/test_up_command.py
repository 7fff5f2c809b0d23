"""`civitas up`: which processes it runs, and that these end with it."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from civitas.cli.notices import DONE
from civitas.cli.process_group.group import ExitAction, describe, exit_action
from civitas.cli.process_group.parent_watch import ParentWatch
from civitas.cli.process_group.private_arguments import PrivateArguments
from civitas.cli.up import processes_to_run
from civitas.plugins.specs import Capabilities
from civitas.process import AgentProcess
from civitas.topology import load_topology_mapping
from support.processes import MARK, outliving

DEADLINE = 60.0


@pytest.fixture(autouse=True)
def no_orphans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    assert not outliving(str(tmp_path), DEADLINE)


# --- parent watch --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_watched_civitas_is_civitas() -> None:
    with ParentWatch() as watch, PrivateArguments(["--json"], {}) as private:
        done = subprocess.run(
            watch.command("version", grace=1.0, private=private),
            pass_fds=[watch.descriptor, private.descriptor],
            stdout=subprocess.PIPE,
            timeout=DEADLINE,
            check=True,
        )
    assert b'"civitas_core"' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deaf", "grace", "code"), [(False, 60.0, -signal.SIGTERM), (True, 0.1, -signal.SIGKILL)]
)
def test_the_end_of_the_other_side_is_the_end(deaf: bool, grace: float, code: int) -> None:
    watch = ParentWatch()
    program = f"""
        import os, signal, sys
        from civitas.cli.process_group.parent_watch import DONE, watch_parent
        if {deaf}:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write({watch.descriptor}, DONE.pack(5))  # and nobody reads it
        watch_parent({watch.descriptor}, {grace})
        print("watching", flush=True)
        while True:
            signal.pause()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        pass_fds=[watch.descriptor],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"watching\n"
            with watch:
                pass
            assert child.wait(DEADLINE) == code
        finally:
            child.kill()


def test_an_exit_code_0_that_is_not_the_end_of_the_work_is_an_accident() -> None:
    assert exit_action(0, is_primary=False, is_done=False) is ExitAction.RESTART
    assert exit_action(0, is_primary=True, is_done=False) is ExitAction.END_ALL
    assert describe(0, is_done=False) == "ended with exit code 0 in the middle of its work"
    assert describe(3, is_done=False) == "ended with exit code 3"


def test_whoever_has_said_to_be_done_is_and_a_later_one_with_its_process_id_is_not() -> None:
    with ParentWatch() as watch:
        pairs = DONE.pack(5) + DONE.pack(6)
        os.write(watch.descriptor, pairs[:11])
        assert [watch.is_done(pid) for pid in (5, 6, 7)] == [True, False, False]
        os.write(watch.descriptor, pairs[11:])
        assert [watch.is_done(pid) for pid in (5, 6, 6)] == [False, True, False]


# --- the command ---------------------------------------------------------------------------------


class Nobody(AgentProcess):
    pass


@pytest.mark.parametrize("crosses", [True, False])
def test_workers_run_on_their_own_where_the_transport_reaches_them(crosses: bool) -> None:
    children = [
        {"agent": {"name": f"agent_{number}", "type": "nobody", "process": process}}
        for number, process in enumerate(["gpu", None, "cpu", "gpu"])
    ]
    for child in children:
        if child["agent"]["process"] is None:
            del child["agent"]["process"]
    topology = load_topology_mapping(
        {"supervision": {"name": "root", "children": children}},
        agent_base=AgentProcess,
        agent_classes={"nobody": Nobody},
    )
    loaded = topology.transport.plugin
    spec = dataclasses.replace(loaded.spec, capabilities=Capabilities(cross_process=crosses))
    transport = dataclasses.replace(
        topology.transport, plugin=dataclasses.replace(loaded, spec=spec)
    )
    expected = ("supervisor", "gpu", "cpu") if crosses else ("supervisor",)
    assert processes_to_run(dataclasses.replace(topology, transport=transport)) == expected
