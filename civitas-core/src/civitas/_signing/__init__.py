"""Signing: frames that carry a tag of the key that all nodes of a system share.

Theory of operation
-------------------

    settings    which key a node's settings give, what it signs, and why it drops what it refuses
    signatures  how a frame is signed and verified, and when one that repeats is refused: pure

The transport that signs is put around another one: `civitas.transport.signed_transport`. A node
without a key has none of this but the settings.

Invariants
----------

- No secret is shown: neither in errors, logs and `repr`, nor in what a topology is shown as.
- Nothing is kept for who has no key, since a frame is verified before anything else.
- What is signed for one address, or by one start of a node, is worth nothing for another.

It knows neither transports nor nodes, and does no I/O but for the environment variable of the key.
"""
