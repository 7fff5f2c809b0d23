"""How a node is, for those who ask from outside the system: probes, scrapers, a service manager.

vitals   what is read of a node in any thread; why it is not live, or not ready
metrics  its counters as OpenMetrics text
http     a server of small answers, for clients that may send anything
pages    which path gets which answer
watch    the thread that answers, asks the node's event loop whether it turns, and tells systemd

What a service is told, and the rest that knows no node: `civitas._health`.
"""
