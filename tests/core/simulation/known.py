"""What the machine of today breaks: by rule, and for each fault the first seed that showed it.

The numbers are those of the issue that lists the faults; from 20 on the simulation found them.
Whoever repairs a fault strikes it off both tables.

     1  a group's restart waits for an agent that says it is done, and its siblings stay down
     2  a done agent whose process comes back runs again
     3  what its process refuses while it stops counts as crashes, and the root gives up
     4  the result of a command is lost: the primary waits 60 s, and restarts a healthy agent
     7  a worker that stops in order loses messages that were accepted, without a word
    14  two objects of an agent of a restarted worker live at once
    15  an agent that crashes while no primary is there is never restarted
    16  the primary dies in the middle of a group's restart, and the members stay stopped
    17  an ask outlives its timeout where its publish waits for a confirmation
    18  a step of a clock after the meeting makes asks expire on arrival, for ever
    19  asks that were cut off when a route closed are not counted as sent
    20  a new primary has met one of two workers that can't hear each other: the one gives the other
        up, and they never meet again, since both are settled and have a primary
    21  the only announcement that an agent is done is lost: what is sent to it is accepted, and
        vanishes
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Shown(NamedTuple):
    """A run that shows a fault."""

    scenario: str
    seed: int
    rule: str


SHOWN: Final = {
    1: Shown("jobs", 78, "not running"),
    2: Shown("flat", 2, "done stays done"),
    3: Shown("orderly", 241, "the end has a reason"),
    4: Shown("flat", 43, "not running"),
    7: Shown("orderly", 23, "no message goes without a word"),
    14: Shown("flat", 273, "nothing is left"),
    15: Shown("nested", 120, "not running"),
    16: Shown("nested", 94, "not running"),
    17: Shown("flat, durable", 11, "asks end in time"),
    18: Shown("clocks", 1, "not running"),
    19: Shown("flat", 234, "the counters are exact"),
    20: Shown("flat", 66, "not running"),
    21: Shown("nested", 237, "no message goes without a word"),
}

KNOWN: Final = {
    "not running": (1, 4, 15, 16, 18, 20),
    "done stays done": (2,),
    "the end has a reason": (3,),
    "no message goes without a word": (7, 21),
    "the counters are exact": (19, 21),
    "one object lives": (14,),
    "nothing is left": (14,),
    "asks end in time": (17,),
}
"""The rules that are broken, each by these faults."""
