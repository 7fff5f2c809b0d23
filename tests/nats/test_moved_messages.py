"""Messages for a name that no process has, on real servers: named, moved, and never lost."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from civitas import Runtime, Supervisor, envelope
from civitas.serializer import MsgpackSerializer
from civitas_nats.transport import NATSTransport
from support.agents import Scripted
from support.commands import COMMAND as CIVITAS
from support.commands import DEADLINE, Running, completed
from support.dead_letters import frame_of
from support.nats.dead_letter_stream import COMMAND, DeadLetterStream, run
from support.nats.dead_letters import jetstream_of
from support.nats.server import NatsServer
from support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_programs")]

MOVE = ("move", "--from", "cook_2", "--to", "cook", "--yes")


def wait_for_nobody(letters: DeadLetterStream, agent: str, count: int) -> None:
    """Store messages for an agent that no process has."""
    letters.add()  # makes the streams

    async def publish() -> None:
        async with jetstream_of(letters.url) as jetstream:
            subject = f"{letters.options.subject_prefix}.{agent}"
            acks = [
                await jetstream.publish_async(subject, frame_of({"n": n})) for n in range(count)
            ]
            await asyncio.gather(*acks)

    asyncio.run(publish())


def numbers(letters: DeadLetterStream, agent: str) -> list[int]:
    """Return the payloads of what waits for an agent, in the order of the stream."""
    frames = [frame for at, frame in letters.returned() if at == agent]
    return [MsgpackSerializer().deserialize(envelope.open(f).body).payload["n"] for f in frames]


async def test_what_an_agent_had_not_processed_is_handled_by_another_one_in_order(
    shared_jetstream, unique, tmp_path
):
    letters = DeadLetterStream(shared_jetstream, unique)
    begun, given = asyncio.Event(), []

    async def stands_still(_: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def handle(frame: bytes) -> None:
        given.append(frame)

    former = NATSTransport(letters.options)
    await former.subscribe("cook_2", stands_still)
    await former.start()
    frames = [frame_of({"n": n}) for n in range(20)]
    for frame in frames:
        await former.publish("cook_2", frame)
    await asyncio.wait_for(begun.wait(), DEADLINE)
    await former.stop()

    done = await asyncio.to_thread(run, *MOVE, "--topology", letters.topology(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "moved 20 waiting messages\n", "")
    present = NATSTransport(letters.options)
    try:
        await present.start()
        for name in ("cook", "cook_2"):
            await present.subscribe(name, handle)
        await present.publish("cook_2", fence := frame_of({"n": "fence"}))
        async with asyncio.timeout(DEADLINE):
            while len(given) < 21:
                await asyncio.sleep(0.01)
        given.remove(fence)
        assert given == [envelope.with_attempt(each, 0) for each in frames]
    finally:
        await present.stop()


def killed(server: NatsServer, command: Running) -> None:
    server.kill()
    assert command.wait() == 1
    assert command.count("error: ") == 1
    server.start()


def killed_itself(_: NatsServer, command: Running) -> None:
    command.signal(signal.SIGKILL)
    command.wait()


@pytest.mark.parametrize("end", [killed, killed_itself])
def test_a_move_that_is_killed_loses_nothing_and_can_be_repeated(
    jetstream, tmp_path, end: Callable[[NatsServer, Running], None]
):
    letters = DeadLetterStream(jetstream, "S")
    wait_for_nobody(letters, "cook_2", 1000)
    file = letters.topology(tmp_path, send_timeout=1.0)
    first = jetstream.streams()["S"]["state"]["last_seq"]
    command = Running(["dead-letters", *MOVE, "-t", str(file)], tmp_path, {}, COMMAND)
    try:
        eventually(lambda: jetstream.streams()["S"]["state"]["last_seq"] > first + 50)
        end(jetstream, command)
    finally:
        command.close()
    assert command.count("Traceback") == 0
    kept = Counter(numbers(letters, "cook")) + Counter(numbers(letters, "cook_2"))
    assert kept.keys() == set(range(1000))
    assert kept.total() <= 1001, "more than the one that was on its way is there twice"
    assert 50 < len(numbers(letters, "cook")) < 1000
    assert run(*MOVE, "-t", file).returncode == 0
    assert numbers(letters, "cook") == list(range(1000))
    assert numbers(letters, "cook_2") == []


def test_without_a_topology_it_is_not_known_who_runs_and_somebody_has_to_say_yes(letters):
    flags = ("--servers", letters.url, "--stream", letters.stream)
    done = run("move", "--from", "cook_2", "--to", "cook", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing says whether a process has 'cook_2'" in done.stderr
    assert "give --yes" in done.stderr


async def test_what_is_stranded_on_a_stream_is_named_by_stats_and_moved(letters, tmp_path):
    await asyncio.to_thread(wait_for_nobody, letters, "cook_2", 3)
    await asyncio.to_thread(wait_for_nobody, letters, "away", 2)
    file = topology_with_agents(letters, tmp_path)
    cook = Scripted("cook")
    options = {f"nats_{key}": value for key, value in block_of(file).items() if key != "type"}
    async with Runtime(Supervisor("root", [cook]), transport="nats", **options):
        told = await asyncio.to_thread(completed, CIVITAS, "stats", "-t", file)
        assert "stranded: 3 messages for 'cook_2'" in told.stdout, told.stderr
        assert re.search(r"^cook +supervisor +running( +0){5}$", told.stdout, re.MULTILINE)
        assert re.search(r"^away +kitchen +missing +2$", told.stdout, re.MULTILINE)
        refused = await asyncio.to_thread(
            completed, CIVITAS, "dead-letters", "move", "--from=cook", "--to=x", "-t", file
        )
        assert refused.returncode == 1
        assert "runs in the process 'supervisor'" in refused.stderr
        done = await asyncio.to_thread(
            completed, CIVITAS, "dead-letters", "move", "--from=cook_2", "--to=cook", "-t", file
        )
        assert (done.returncode, done.stdout) == (0, "moved 3 waiting messages\n"), done.stderr
        async with asyncio.timeout(DEADLINE):
            while len(cook.got) < 3:
                await asyncio.sleep(0.01)
    assert [each.payload["n"] for each in cook.got] == [0, 1, 2]


@pytest.fixture
def letters(shared_jetstream, unique) -> DeadLetterStream:
    return DeadLetterStream(shared_jetstream, unique)


def block_of(file: Path) -> dict[str, object]:
    return json.loads(file.read_text())["transport"]


def topology_with_agents(letters: DeadLetterStream, folder: Path) -> Path:
    """Return a topology of which no class can be imported."""
    file = letters.topology(folder)
    agents = [
        {"agent": {"name": "cook", "type": "no.such.Agent"}},
        {"agent": {"name": "away", "type": "no.such.Agent", "process": "kitchen"}},
    ]
    whole = {"transport": block_of(file), "supervision": {"name": "root", "children": agents}}
    file.write_text(json.dumps(whole))
    return file
