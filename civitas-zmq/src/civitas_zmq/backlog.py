"""How many bytes may wait at the proxy for a connection that takes them slowly or not at all.

A high-water mark counts frames: of the largest ones a few hundred fill a memory, of small ones a
mark so low would drop what a system sends within its credit. libzmq can't say how many bytes wait
for a connection, nor to whom a frame went. What can be known is an upper bound. What waits for a
connection was forwarded after the last time at which nothing waited for it; what it has taken since
does not wait any more. Frames are shared by all for whom they wait, so the sum of what all
connections hold that take nothing is no larger than the longest of these bounds.

| what the system says of a connection           | its bound                                       |
|------------------------------------------------|-------------------------------------------------|
| nothing waits for it                           | is zero again                                   |
| it held up what waits in less than half of the | stays: the proxy is slow, or has just begun     |
| time                                           |                                                 |
| otherwise                                      | grows by what was forwarded, less what it took  |
| (ipc) what waits has another size than before  | is zero again: the connection takes something   |
| (ipc) otherwise                                | grows by what was forwarded                     |
"""

from __future__ import annotations

from civitas_zmq.peers import Flow

NOTHING = Flow(0, 0, 0.0)


class Backlog:
    """The upper bound of what waits for one connection."""

    def __init__(self) -> None:
        self.bytes = 0
        self._last = NOTHING

    def note(self, flow: Flow, forwarded: int, seconds: float) -> int:
        """Note what the connection did while bytes were forwarded to all; return the bound."""
        last, self._last = self._last, flow
        if not flow.waiting:
            self.bytes = 0
        elif flow.taken is None or flow.limited is None:
            self.bytes = 0 if flow.waiting != last.waiting else self.bytes + forwarded
        elif flow.limited - (last.limited or 0.0) >= seconds / 2:
            self.bytes = max(0, self.bytes + forwarded - (flow.taken - (last.taken or 0)))
        return self.bytes
