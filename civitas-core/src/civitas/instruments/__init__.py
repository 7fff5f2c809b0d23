"""Instruments: what watches the messages and the lives of a node's agents.

An instrument of your own is any class with some of the methods of `Instrument`; an `InstrumentSpec`
of `civitas.plugins` gives it a name for topologies.
"""

from civitas.instruments.protocol import Execution, Instrument, NodeView, role_of

__all__ = ["Execution", "Instrument", "NodeView", "role_of"]
