"""TransportConformance: the list of behaviours that every transport shows."""

from __future__ import annotations

from typing import ClassVar

from civitas.plugins import Capabilities
from civitas.testing.delivery import Delivery
from civitas.testing.durability import Durability
from civitas.testing.faults import Faults
from civitas.testing.lifecycle import Lifecycle
from civitas.testing.requests import Requests
from civitas.testing.suite import ConformanceSuite


class TransportConformance(
    Delivery, Requests, Faults, Durability, Lifecycle, ConformanceSuite, kit=True
):
    """The tests of a transport. Subclass it, say what you claim, and tell how to make yours.

    After each test every transport that it made is stopped, and no task, thread or file
    descriptor may be left.

    Attributes:
        capabilities: what the transport claims; decides which tests are in its list.
        patience: seconds that one wait may last before its test fails.
        deviations: standard tests that you know to fail, each with the reason.

    Example:
        The fixture gives a callable that makes a fresh, unstarted transport, each time on the same
        network: two of them stand for two processes.

            class TestPigeon(TransportConformance):
                capabilities = Capabilities(cross_process=True)

                @pytest.fixture
                def make_transport(self, tmp_path):
                    return lambda: PigeonTransport(PigeonOptions(loft=str(tmp_path)))
    """

    level: ClassVar[str] = "transport conformance 0.1"

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
