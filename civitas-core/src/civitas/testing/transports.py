"""TransportConformance: the list of behaviours that every transport shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from civitas.plugins import Capabilities
from civitas.testing.access import AccessBehaviours
from civitas.testing.delivery import DeliveryBehaviours
from civitas.testing.durability import DurabilityBehaviours
from civitas.testing.faults import FaultBehaviours
from civitas.testing.giving_up import GivingUpBehaviours
from civitas.testing.kept_messages import KeptMessageBehaviours
from civitas.testing.lifecycle import LifecycleBehaviours
from civitas.testing.ordering import OrderBehaviours
from civitas.testing.outages import OutageBehaviours
from civitas.testing.processes import ProcessBehaviours
from civitas.testing.reconnecting import ReconnectBehaviours
from civitas.testing.requests import RequestBehaviours
from civitas.testing.sizes import SizeBehaviours
from civitas.testing.stress import StressBehaviours
from civitas.testing.suite import ConformanceSuite


class TransportConformance(
    DeliveryBehaviours,
    OrderBehaviours,
    SizeBehaviours,
    ProcessBehaviours,
    RequestBehaviours,
    FaultBehaviours,
    OutageBehaviours,
    ReconnectBehaviours,
    DurabilityBehaviours,
    GivingUpBehaviours,
    AccessBehaviours,
    KeptMessageBehaviours,
    LifecycleBehaviours,
    StressBehaviours,
    ConformanceSuite,
    kit=True,
):
    """The tests of a transport. Subclass it, say what you claim, and how to make yours.

    After each test every transport that it made is stopped, and no task, thread or file
    descriptor may be left.

    Attributes:
        capabilities: what the transport claims; decides which tests are in its list.
        patience: seconds that one wait may last before its test fails.
        plugin: the transport's name in topologies; the report states it.
        variant: the option on which the claims of this class depend, as "jetstream: true".
        elsewhere: claims that another class of yours proves, each with the reason.
        deviations: standard tests that you know to fail, each with the reason.

    Example:
        The fixture gives a callable that makes a fresh, unstarted transport, each time on the same
        network: two of them stand for two processes. If it takes a `context`, it gets what a node
        would give; a transport between processes needs one.

            class TestPigeon(TransportConformance):
                capabilities = Capabilities(cross_process=True)

                @pytest.fixture
                def make_transport(self, tmp_path):
                    options = PigeonOptions(loft=str(tmp_path))
                    return lambda context: PigeonTransport(options, context)

        More fixtures are optional; a test that needs one which is not there is not in the list,
        and the report says so. `broker` gives an object that can `kill()` the broker and `start()`
        it again; who claims `survives_broker_restart` needs it. `link` gives one that can `cut()`
        the way to the broker and `mend()` it, `freezer` one that lets the broker stand still, with
        `pause()`, and go on, with `resume()`; `dead_letters` gives an async function that returns
        the frames of all dead letters; `make_dead_letters` a callable that makes what your
        `TransportSpec.dead_letters` makes, on the same network; `counts_backlog` says
        that the transports have the method `backlog`; `secret` and `forbidden` are text: see
        `civitas.testing.access`.
    """

    kind: ClassVar[str] = "transport"
    level: ClassVar[str] = "transport conformance 1.0"
    optional: ClassVar[Mapping[str, str]] = {
        "broker": "an object with the methods kill() and start()",
        "link": "an object with the methods cut() and mend()",
        "freezer": "an object with the methods pause() and resume()",
        "make_dead_letters": "a callable that makes a DeadLetterStore, not started",
        "dead_letters": "an async function that returns the frames of all dead letters",
        "secret": "a password that the transports of a test with this fixture log in with",
        "counts_backlog": "anything: it says that the transports have the method backlog",
        "forbidden": "an address that the transports of a test with this fixture may not read",
    }

    needed: ClassVar[frozenset[str]] = frozenset({"broker"})

    @classmethod
    def claims(cls, claim: str) -> bool:
        """Return whether `capabilities` makes this claim.

        Raises:
            TypeError: the class states no capabilities.
        """
        if not isinstance(getattr(cls, "capabilities", None), Capabilities):
            raise TypeError(
                f"{cls.__name__} states no capabilities: write "
                f"`capabilities = Capabilities(...)` (from civitas.plugins), with what you claim"
            )
        return super().claims(claim)
