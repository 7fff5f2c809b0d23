"""Health: what a process answers to probes and tells its service manager, whoever asks.

Theory of operation
-------------------

    settings    where a process listens, and how long a standstill is borne
    listener    the socket that it listens at
    loop_watch  for how long an event loop in another thread has not turned
    notify      what systemd is told of a service

A node that has an address for it answers in a thread of its own, with an event loop of its own:
`civitas._node.health`, which has the server as well. It begins before the transport does and ends
after it, so that a process can be asked while its broker is away, and while a handler blocks the
loop of the agents. It is not the thread of the control plane: bytes of strangers must not hold up
the pings of other nodes.

Invariants
----------

- A client costs what is fixed beforehand: so many connections, bytes and seconds.
- Who has sent a whole request gets its answer, whatever others do: the connection that has waited
  longest for its request makes room for a new one.
- The time for which this process stood still as a whole is nobody's fault: it is not counted.
- Nothing that a service manager misses ends a node.

It knows neither nodes nor agents.
"""
