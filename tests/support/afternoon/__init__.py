"""What an author writes into a generated transport, to carry frames over the local bus.

`wire.py` is copied into the package `civitas_pigeon`; nobody imports it here. `broker.py` is the
program that its tests start.
"""
