"""What the transport has going on never ends in silence: its node hears of it."""

from __future__ import annotations

from threading import Thread

import pytest
import zmq

from civitas.transport import Dispatcher
from civitas_zmq.authenticator import Authenticator
from civitas_zmq.keys import make_pair
from civitas_zmq.publisher import Publisher
from civitas_zmq.readiness import Readiness
from civitas_zmq.socket_monitor import SocketMonitor
from support.failing import DEFECTS, PanicError, cancel, raising
from support.zmq import Process, frame_of, options_for, started, until, with_keys


async def failure_of(process: Process) -> str:
    await until(lambda: process.failures)
    return str(process.failures[0])


@pytest.mark.parametrize("kind", DEFECTS)
async def test_the_reader_of_frames(monkeypatch, kind):
    monkeypatch.setattr(Dispatcher, "deliver", raising(kind("a defect")))
    process = Process(options_for(), primary=True)
    await process.listen("_agency.news")
    async with started(process) as [transport]:
        await transport.publish("_agency.news", frame_of())
        assert f"subscriber' has ended unexpectedly: {kind.__name__}" in await failure_of(process)


async def test_the_reader_of_subscriptions(monkeypatch):
    monkeypatch.setattr(Publisher, "_read", raising(PanicError("a defect")))
    process = Process(options_for(), primary=True)
    await process.transport.start()
    assert "'civitas zmq publisher' has ended" in await failure_of(process)
    await process.transport.stop()


async def test_the_readiness():
    process = Process(options_for(), primary=True)
    async with started(process):
        cancel("civitas zmq readiness")
        assert "'civitas zmq readiness' has ended" in await failure_of(process)


async def test_the_monitor_of_a_connection(monkeypatch):
    options = options_for()
    process = Process(options)
    monkeypatch.setattr(SocketMonitor, "_take", raising(SystemExit("a defect")))
    async with started(Process(options, primary=True)):
        await process.transport.start()
        assert "'civitas zmq monitor' has ended" in await failure_of(process)
        await process.transport.stop()


async def test_the_thread_that_forwards(monkeypatch):
    monkeypatch.setattr(zmq, "proxy_steerable", raising(RuntimeError("a defect")))
    process = Process(options_for(), primary=True)
    await process.transport.start()
    text = await failure_of(process)
    assert text == "'civitas zmq proxy' has ended unexpectedly: RuntimeError: a defect"
    await process.transport.stop()


async def test_the_thread_that_lets_in(monkeypatch):
    monkeypatch.setattr(Authenticator, "_answer", raising(PanicError("a defect")))
    options = with_keys(options_for(), make_pair(), make_pair())
    primary, process = Process(options, primary=True), Process(options)
    await primary.transport.start()
    await process.transport.start()
    assert "'civitas zmq authenticator' has ended" in await failure_of(primary)
    await process.transport.stop()
    await primary.transport.stop()


async def test_a_proof_that_fails(monkeypatch):
    monkeypatch.setattr(Readiness, "_prove", raising(SystemExit("a defect")))
    process = Process(options_for(), primary=True)
    await process.transport.start()
    assert "SystemExit: a defect" in await failure_of(process)
    await process.transport.stop()


@pytest.mark.parametrize("part", ["authenticator", "proxy", "proxy watch"])
async def test_a_start_without_a_thread_for_a_part_fails_and_leaves_nothing(monkeypatch, part):
    start = Thread.start

    def refusing(thread):
        if thread.name == f"civitas zmq {part}":
            raise RuntimeError("can't start new thread")
        start(thread)

    process = Process(options_for(), primary=True)
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", refusing)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await process.transport.start()
    async with started(process):  # it is as before
        assert process.failures == []


async def test_a_stop_without_a_thread_for_the_proxys_end_leaves_nothing(monkeypatch):
    start = Thread.start

    def refusing(thread):
        if thread.name.startswith("civitas zmq proxy stop"):
            raise RuntimeError("can't start new thread")
        start(thread)

    process = Process(options_for(), primary=True)
    async with started(process):
        monkeypatch.setattr(Thread, "start", refusing)
    assert process.failures == []
