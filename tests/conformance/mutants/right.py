"""Right: a right transport, of which each mutant changes one thing; and how mutants adopt the kit.

The files of this folder are run by test_mutants.py, in a pytest of its own.
"""

from __future__ import annotations

import os
from functools import partial
from typing import ClassVar

import pytest

from civitas.plugins import Capabilities
from civitas.testing import SerializerConformance, TransportConformance
from civitas.transport import InProcessTransport


class Right:
    """The in-process transport, method by method: what the mutants change one thing of."""

    capabilities = Capabilities()

    def __init__(self):
        self.inner = InProcessTransport()

    async def start(self):
        await self.inner.start()

    async def stop(self):
        await self.inner.stop()

    async def subscribe(self, address, handler):
        await self.inner.subscribe(address, handler)

    async def unsubscribe(self, address):
        await self.inner.unsubscribe(address)

    async def publish(self, address, data):
        await self.inner.publish(address, data)

    async def request(self, address, data, timeout):
        return await self.inner.request(address, data, timeout)

    async def wait_ready(self):
        await self.inner.wait_ready()

    def has_reply_address(self, address):
        return self.inner.has_reply_address(address)


class Adopted:
    """How each of the above adopts the kit."""

    subject: ClassVar[type]

    @pytest.fixture
    def shared(self):
        """What the transports of a test share, or None."""
        network = getattr(self.subject, "network", None)
        return None if network is None else network()

    @pytest.fixture
    def make_transport(self, shared):
        return self.subject if shared is None else partial(self.subject, shared)

    @pytest.fixture
    def make_serializer(self):
        return self.subject


@pytest.fixture
def dead_letters(self, shared):
    return partial(self.subject.dead_letters, shared)


@pytest.fixture
def counts_backlog(self):
    """The transports count what waits."""


@pytest.fixture
def hostile(self):
    return self.subject.hostile


@pytest.fixture
def secret(self, shared):
    return shared.use_secret()


@pytest.fixture
def forbidden(self, shared):
    return shared.use_forbidden()


@pytest.fixture
def broker(self, shared):
    return shared


@pytest.fixture
def link(self, shared):
    return shared


@pytest.fixture
def freezer(self, shared):
    return shared


def adopt(subject: type) -> type:
    about = {"subject": subject, "patience": float(os.environ.get("PATIENCE", "0.5"))}
    kit = SerializerConformance
    if hasattr(subject, "hostile"):
        about["hostile"] = hostile
    about["carries"] = getattr(subject, "carries", ())
    if hasattr(subject, "publish"):
        kit, about["capabilities"] = TransportConformance, subject.capabilities
    network = getattr(subject, "network", None)
    if hasattr(network, "kill"):
        about["broker"] = broker
    if hasattr(network, "cut"):
        about["link"] = link
    if hasattr(subject, "dead_letters"):
        about["dead_letters"] = dead_letters
    if hasattr(subject, "backlog"):
        about["counts_backlog"] = counts_backlog
    if hasattr(network, "use_secret"):
        about["secret"] = secret
        about["forbidden"] = forbidden
    if hasattr(network, "pause"):
        about["freezer"] = freezer
    return type(f"Test{subject.__name__}", (Adopted, kit), about)


def adopt_all(names: dict[str, object], module: str) -> None:
    """Add a test class for each class that this module defines."""
    for subject in [each for each in names.values() if isinstance(each, type)]:
        if subject.__module__ == module:
            names[f"Test{subject.__name__}"] = adopt(subject)
