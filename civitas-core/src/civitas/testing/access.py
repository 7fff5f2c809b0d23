"""What is promised of a broker that refuses: it is said at once, and no password with it.

Two fixtures, both optional, say what is refused; a test that has one of them in its arguments is
given transports by `make_transport` that log in accordingly, as with `link`:

- `secret` gives a password, at least 8 characters, that these transports log in with. The broker
  may take it or not.
- `forbidden` gives an address, of an agent, that the broker lets these transports neither read nor
  write; all others it lets them.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable
from typing import Final, Self

from civitas.errors import CivitasError
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.notes import Notes
from civitas.testing.outages import Broker
from civitas.testing.recovery import outage
from civitas.transport import Transport

_WATCHED: Final = 0.5
"""Seconds of an outage in which the log is watched."""


class AccessBehaviours(Behaviours):
    """Logins, permissions, and what is said of them."""

    @behaviour
    async def test_a_password_is_told_to_nobody(self, network: Network, secret: str) -> None:
        """No error, log line or report has the password in it, whether the broker takes it or not.

        If this fails: an error has the URL with its user and password, or what the broker or its
        library says is passed on as it is; or the options are logged, and the password is no
        SecretStr.
        """
        with _Said(secret) as said:
            transport = network.make()
            started = await said.watch(network, transport.start(), "start()")
            if started:
                work = transport.publish("worker", network.frame(b"hello"))
                await said.watch(network, work, "publish()")
                await said.watch(network, transport.wait_ready(), "wait_ready()")
            await said.watch(network, transport.stop(), "stop()")
            said.look_at(repr(transport), "repr() of the transport")
            said.look_at_notes(network, transport)

    @behaviour
    async def test_an_outage_tells_no_password(
        self, network: Network, secret: str, broker: Broker
    ) -> None:
        """Nor do errors, log lines and the reasons of `link_down` while the broker is away.

        If this fails: what can't be reached is named with its user and password.
        """
        with _Said(secret) as said:
            transport = network.make()
            started = await said.watch(network, transport.start(), "start()")
            with outage(network, broker.kill, broker.start):
                work = transport.publish("worker", network.frame(b"hello"))
                await said.watch(network, work, "publish() in an outage")
                request = transport.request("worker", network.frame(b"?"), 0.1)
                await said.watch(network, request, "request() in an outage")
                late = network.make()
                starting = network.spawn(late.start())
                await asyncio.wait([starting], timeout=_WATCHED)
                said.look_at_task(starting, "start() without a broker")
                starting.cancel()
                await network.within(asyncio.wait([starting]), "a cancelled start to end")
            notes = network.notes(transport)
            if started and notes is not None:
                await network.until(lambda: notes.is_up, "link_up()")
            for each in (transport, late):
                await said.watch(network, each.stop(), "stop()")
                said.look_at_notes(network, each)

    @behaviour
    async def test_a_refused_subscription_is_an_error(
        self, network: Network, forbidden: str
    ) -> None:
        """`subscribe`, or `wait_ready` after it, raises where the broker forbids the address.

        Other addresses are reached as before, and no outage is told: the connection is well. So
        it is with a frame to that address; who sent it is told, or it is reported as dropped.

        If this fails: the broker's refusal comes later than its library returns, and nobody listens
        for it; or it is taken for a lost connection, which is made again and again.
        """
        sender, receiver = await network.pair()
        notes = [network.needed_notes(each) for each in (sender, receiver)]
        [allowed] = await network.listen(receiver, "allowed")
        inbox = Arrivals(forbidden, network)
        error = await _refusal_of(network, receiver, inbox)
        assert error is not None, (
            f"the broker forbids {forbidden!r}, and neither subscribe() nor wait_ready() says so"
        )
        _no_outage(notes)
        publish = sender.publish(forbidden, network.frame(b"forbidden"))
        await network.refused_or_silent(publish, CivitasError, "publish() to a forbidden address")
        frame = network.frame(b"allowed")
        await network.within(sender.publish("allowed", frame), "publish() to another address")
        await allowed.including(frame)
        assert not inbox.frames, "a frame came to an address that the broker forbids"
        _no_outage(notes)


def _no_outage(notes: list[Notes]) -> None:
    reports = [each.link for each in notes]
    assert reports == [[], []], f"a refusal was reported as an outage: {reports}"


async def _refusal_of(network: Network, receiver: Transport, inbox: Arrivals) -> Exception | None:
    subscribe = receiver.subscribe(inbox.address, inbox.put)
    what = f"subscribe({inbox.address!r}), which the broker forbids"
    error = await network.refused_or_silent(subscribe, CivitasError, what)
    return error or await network.refused_or_silent(
        receiver.wait_ready(), CivitasError, f"wait_ready() after {what}"
    )


class _Said(logging.Handler):
    """All that is logged, raised and reported meanwhile, looked through for a secret."""

    def __init__(self, secret: str) -> None:
        super().__init__(logging.NOTSET)
        self._secret = secret
        self._found: list[str] = []
        self._levels: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a log line, and at the traceback with it."""
        self.look_at(self.format(record), f"a log line of {record.name}")

    def look_at(self, text: str, what: str) -> None:
        """Note whether a text has the secret in it."""
        if self._secret in text:
            self._found.append(what)

    def look_at_task(self, task: asyncio.Task[None], what: str) -> None:
        """Look at the error of a task that has ended with one."""
        if task.done() and not task.cancelled() and (error := task.exception()):
            self._look_at_error(error, what)

    def look_at_notes(self, network: Network, transport: Transport) -> None:
        """Look at what a transport reported to its node."""
        notes = network.notes(transport)
        if notes is not None:
            for reason in (*notes.reasons, *(reason for reason, _ in notes.dropped)):
                self.look_at(reason, "a report to the node")

    async def watch(self, network: Network, work: Awaitable[object], what: str) -> bool:
        """Await something that may raise, look at its error, and return whether it did not."""
        error = await network.refused_or_silent(work, (CivitasError, TimeoutError), what)
        if error is not None:
            self._look_at_error(error, f"the error of {what}")
        return error is None

    def _look_at_error(self, error: BaseException, what: str) -> None:
        text = "".join(traceback.format_exception(error, chain=True)) + repr(error)
        self.look_at(text, what)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        root.addHandler(self)
        self._levels = {name: logging.getLogger(name).level for name in ("", "civitas")}
        for name in self._levels:
            logging.getLogger(name).setLevel(logging.DEBUG)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        if kind is None:
            assert not self._found, f"the password is in {', '.join(dict.fromkeys(self._found))}"
