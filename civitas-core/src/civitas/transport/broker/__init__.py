"""The broker adapter: what every transport over a broker needs, once.

A plugin supplies a `Wire`, one connection to its broker. Everything else is here:

    BrokerTransport   the contract of a transport (`transport`, on `civitas.transport.network`)
      BrokerLink      keeps a session, and makes another when it fails (`link`)
        BrokerSession     one wire, its four tasks, and the probes (`session`)
          SendQueue           frames on their way, and what became of each (`send_queue`)
          BrokerSubscriptions what the broker is asked for (`subscriptions`)
            Wire                  the plugin's (`wire`)

Nothing here knows a broker, and a wire knows nothing of what is above it.
"""

from civitas.transport.broker.session import BrokerSettings
from civitas.transport.broker.transport import BrokerTransport
from civitas.transport.broker.wire import Outgoing, Wire

__all__ = ["BrokerSettings", "BrokerTransport", "Outgoing", "Wire"]
