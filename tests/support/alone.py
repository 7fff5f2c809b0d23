"""Transports for one process: with a network that has nobody else, and ones that see each frame."""

from __future__ import annotations

from civitas.plugins import Capabilities
from civitas.transport import InProcessTransport, NetworkTransport


class Framed(InProcessTransport):
    """Sees each frame: by it nothing stays within the process without one."""

    async def publish(self, address: str, data: bytes) -> None:
        await super().publish(address, data)


class Alone(NetworkTransport):
    """A transport whose network has nobody else."""

    def __init__(self, largest: int | None = None) -> None:
        super().__init__("alone", Capabilities(max_message_bytes=largest))

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def listen(self, address: str) -> None: ...
    async def forget(self, address: str) -> None: ...
    async def send(self, address: str, frame: bytes) -> None: ...
    async def prove(self) -> None: ...


class Crossing(Alone):
    """The same, and it claims to reach other processes."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(cross_process=True)

    async def send(self, address: str, frame: bytes) -> None:
        if address in self.dispatcher:
            self.dispatcher.deliver(address, frame)


class FramedAlone(Alone):
    """The same, and it sees each frame."""

    async def publish(self, address: str, data: bytes) -> None:
        await super().publish(address, data)
