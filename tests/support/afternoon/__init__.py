"""What an author writes into a generated transport, to carry frames over the local bus.

These files are copied into the package `civitas_pigeon`; nobody imports them here.
"""
