"""`civitas bench` on zmq: what its system has of its own (the command itself is in e2e)."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from pathlib import Path

import pytest

from civitas import AgentProcess
from civitas.cli.bench.system import Names
from civitas.cli.bench.worker import work
from civitas.topology import load_topology_mapping
from civitas_zmq import addresses
from civitas_zmq.options import ZMQOptions
from civitas_zmq.plugin import civitas_transports
from support.agents import until

[SPEC] = civitas_transports()


async def test_the_worker_ends_with_the_command_also_while_it_waits_for_a_proxy() -> None:
    tree = {"name": "root", "children": []}
    mapping = {"transport": {"type": "zmq"}, "supervision": tree}
    topology = load_topology_mapping(mapping, agent_base=AgentProcess, processes=())
    ours, theirs = multiprocessing.Pipe()
    assert SPEC.apart is not None
    async with SPEC.apart(topology.transport.options, "bench-1") as own:
        worker = asyncio.create_task(work(topology, Names.random(), theirs))
        ours.send(own)
        await until(lambda: not theirs.poll())
        ours.close()
        async with asyncio.timeout(30):
            await worker
    theirs.close()


async def test_a_system_apart_has_a_proxy_of_its_own_at_free_ports() -> None:
    given = ZMQOptions(
        pub_addr="tcp://10.0.0.1:5559", sub_addr="tcp://[::1]:5560", start_proxy=False, send_hwm=7
    )
    assert SPEC.apart is not None
    async with SPEC.apart(given, "bench-1") as own:
        assert own.start_proxy
        assert own.send_hwm == 7
        assert own.pub_addr.startswith("tcp://127.0.0.1:")
        assert own.sub_addr.startswith("tcp://[::1]:")
        ZMQOptions.model_validate(own.model_dump())
        with socket.create_server(("127.0.0.1", int(own.pub_addr.rpartition(":")[2]))):
            pass


async def test_files_of_a_system_apart_are_gone_with_it() -> None:
    given = ZMQOptions(pub_addr="ipc:///tmp/pub", sub_addr="ipc:///tmp/sub")
    assert SPEC.apart is not None
    async with SPEC.apart(given, "bench-1") as own:
        paths = [addresses.ipc_path(each) for each in (own.pub_addr, own.sub_addr)]
        folders = {Path(each).parent for each in paths if each}
        [folder] = folders
        assert folder.is_dir()
        assert folder.name.startswith("bench-1-")
        assert folder.stat().st_mode & 0o077 == 0
        assert len(set(paths)) == 2
    assert not folder.exists()


@pytest.mark.parametrize("kinds", [("tcp://127.0.0.1:1", "ipc:///tmp/a"), ("ipc:///a", "ipc:///b")])
def test_addresses_apart_are_of_the_same_kinds_and_differ(kinds: tuple[str, str]) -> None:
    found = addresses.apart_from(kinds, "/tmp/own")
    assert [each[:6] for each in found] == [each[:6] for each in kinds]
    assert len(set(found)) == 2
