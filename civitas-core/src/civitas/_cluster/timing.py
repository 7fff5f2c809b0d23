"""Timing: how long nodes look for each other, and how patient they are, in seconds."""

from __future__ import annotations

from typing import Final

CLAIM_WINDOW: Final = 0.25
"""Seconds in which others can object to a name, as in the probing of RFC 6762, section 8.1."""

PRIMARY_WINDOW: Final = 1.0
"""Seconds that a node without the tree looks for the one that has it, before it goes on alone."""

JOIN_TIMEOUT: Final = 3.0
"""Seconds after which a node goes on though somebody it was told of has not answered."""

LINK_GRACE: Final = 5.0
"""Seconds after a lost link, or a pause of this process, in which silence counts for nothing."""

DOUBT: Final = 1.0
"""Seconds after the same in which a node refuses nobody: it may be the one that was superseded."""

LONELY: Final = 5.0
"""Seconds between two hellos of a node that has no primary above it."""

FIRST_HELLO: Final = 0.05
"""Seconds between the first two hellos; then half as long again each time, up to:"""

SLOWEST_HELLO: Final = 1.0
"""Seconds between two hellos of a node that is not settled, at most."""

PAUSE: Final = 1.0
"""Seconds without a turn of its own after which a node knows that it stood still itself."""

PROMPT: Final = 1.0
"""Seconds within which an answer tells of the other clock; one that lay for long does not."""
