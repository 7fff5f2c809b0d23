"""`civitas bench`: measures the transport of a topology, in a system of the command's own.

Theory. What is measured is a round trip and a stream between two processes: this one, which is a
primary, and a worker (`worker.py`), a fork of it from before its event loop. Where the transport
stays within one process, that process has the agents, too. The agents of the topology are neither
imported nor needed.

The system must not meet the one that runs with the same topology. So its options are those that
the plugin gives for a system apart (`TransportSpec.apart`). Names of agents and of the worker have
random digits besides, for plugins that don't say how; there a running system, which has a primary
already, refuses this one.

However the command ends, the worker ends: it reads from a pipe that ends with this process.
"""
