"""Dead letters: what a durable transport keeps, as commands list, return, move and remove it.

A plugin supplies a `DeadLetterStore`, which counts, reads, adds and removes. Everything else is
here, once for all transports:

    store    the protocol of the plugin, and the values that it gives
    reader   what can be read of a message, and the frame that goes back: pure
    batch    many messages, one after the other: which were done, which stay, and why

Invariants
----------

- A message is removed only after its frame is kept for an agent, or because somebody said so. What
  ends a batch in between, also a crash, leaves a message twice, and never loses one.
- A batch is about the messages that were there when it began, so what an agent fails on once more
  is not returned again and again.
- The bytes of a message may come from anybody: none are an error.

It knows no broker, and neither nodes nor commands.
"""

from civitas.transport.dead_letters.store import (
    DeadLetterStore,
    Kept,
    KeptMessage,
    Selection,
    Survey,
)

__all__ = ["DeadLetterStore", "Kept", "KeptMessage", "Selection", "Survey"]
