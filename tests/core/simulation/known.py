"""What the machine of today breaks: by rule, and for each fault the first seed that showed it.

The numbers are those of the issue that lists the faults; from 20 on the simulation found them.
Whoever repairs a fault strikes it off both tables.

    20  a new primary has met one of two workers that can't hear each other: the one gives the other
        up, and they never meet again, since both are settled and have a primary
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Shown(NamedTuple):
    """A run that shows a fault."""

    scenario: str
    seed: int
    rule: str


SHOWN: Final = {
    20: Shown("flat", 66, "not running"),
}

KNOWN: Final = {
    "not running": (20,),
}
"""The rules that are broken, each by these faults."""
