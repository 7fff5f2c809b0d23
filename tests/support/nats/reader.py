"""A process that reads for an agent, and may be killed: `python -m support.nats.reader NAME JSON`.

It says on its output which messages it is given. One that begins with "hang" it keeps in hand for
ever, one that begins with "weak" fails once before, and at "poison" it kills itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from civitas import envelope
from civitas.errors import ProcessingError
from civitas.plugins import TransportContext
from civitas_nats.options import NATSOptions
from civitas_nats.transport import NATSTransport


async def read(name: str, options: NATSOptions) -> None:
    """Read until somebody ends this process."""

    async def handle(frame: bytes) -> None:
        opened = envelope.open(frame)
        body = opened.body.decode()
        print(f"given {body} {opened.attempt}", flush=True)  # noqa: T201 - it is what is read
        if body.startswith("weak") and opened.attempt == 0:
            raise ProcessingError(name, "ValueError", "weak")
        if body.startswith(("hang", "weak")):
            await asyncio.Event().wait()
        await asyncio.sleep(0)  # as an agent, which has a task of its own
        if body.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)

    transport = NATSTransport(options, TransportContext(node=os.urandom(8).hex()))
    await transport.subscribe(name, handle)
    await transport.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1], NATSOptions(**json.loads(sys.argv[2]))))
