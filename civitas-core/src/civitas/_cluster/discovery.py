"""Discovery: when a node says hello, and when it has found the others. No I/O.

A node that joins is in one of these states:

    state     | it says hello           | leaves it
    ----------+-------------------------+----------------------------------------------------------
    outside   | never                   | `join` -> searching
    searching | at growing intervals    | found the primary and all whom the primary knows, each
              |                         | proved; or the time for it is over -> settled
    settled   | only without a primary  | `leave` -> outside
    doubtful  | at once, and when the   | after `DOUBT` seconds -> searching or settled, as before
              | doubt is over           |

Doubtful is a node that could not hear for a while, because its connection was lost or its process
stood still: it may be the one that was superseded meanwhile, so it refuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

# All in seconds:
CLAIM_WINDOW: Final = 0.25  # others can object to a name, as in RFC 6762, section 8.1 (probing)
PRIMARY_WINDOW: Final = 1.0  # a node looks for the one that has the tree, before it goes on alone
JOIN_TIMEOUT: Final = 3.0  # a node goes on then, though one that the primary knows did not answer
DOUBT: Final = 1.0  # in which a node refuses nobody: it may be the one that was superseded
LONELY: Final = 5.0  # between two hellos of a node that has no primary above it
FIRST_HELLO: Final = 0.05  # between the first two hellos; then half as long again each time, up to:
SLOWEST_HELLO: Final = 1.0  # between two hellos of a node that is not settled, at most
IDLE: Final = 0.25  # between two turns of a node that has nothing to do
PAUSE: Final = 1.0  # without a turn of its own: a node knows by it that it stood still itself
UNCERTAIN: Final = 30.0  # after a doubt, or a time without a primary: see `naming`
YOUNG: Final = 10.0  # after a search, in which another node may have ended its own under this name
PROMPT: Final = 1.0  # an answer in it says how the other clock goes; one that lay longer does not


class Discovery:
    """One node's search for the others. All times are seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        self.roster: set[str] = set()
        """The nodes that are to be found: whom the primary knows, and who finds out whether the
        holder of a name of this node is alive."""
        self.known: frozenset[str] = frozenset()
        """The nodes that the primary knows."""
        self._joined_at: float | None = None
        self._next_hello = 0.0
        self._pause = FIRST_HELLO
        self._doubtful_until: float | None = None
        self._last_turn: float | None = None
        self._uncertain_until = -inf
        self._young_until = -inf

    @property
    def joined(self) -> bool:
        """Whether the node wants to be in the system."""
        return self._joined_at is not None

    @property
    def doubtful(self) -> bool:
        """Whether the node does not know if it still belongs to the system."""
        return self._doubtful_until is not None

    def join(self, now: float) -> None:
        """Begin the search."""
        self._joined_at = self._next_hello = now

    def settled(self, now: float) -> None:
        """Take note that the search has ended."""
        self._young_until = now + YOUNG

    def uncertain(self, now: float) -> bool:
        """Return whether the node could not hear for a while, or had no primary, not long ago."""
        return now < self._uncertain_until

    def doubt_past(self, now: float) -> None:
        """Take note that the node may have been declared dead, and did not hear it."""
        self._uncertain_until = now + UNCERTAIN

    def young(self, now: float) -> bool:
        """Return whether the search ended not long ago."""
        return now < self._young_until

    def found(self, known: Iterable[str]) -> None:
        """Take note of the nodes that the primary knows."""
        self.known = frozenset(known)
        self.roster = set(self.known)

    def leave(self) -> None:
        """Be silent from now on, so that nobody lets the node in again."""
        self._joined_at = None

    def stood_still(self, now: float) -> bool:
        """Return whether this process had no turn for a while; to be asked before time judges."""
        before, self._last_turn = self._last_turn, now
        return before is not None and now - before > PAUSE

    def last_turn(self) -> float:
        """Return when `stood_still` was asked last."""
        return self._last_turn or 0.0

    def turn_due(self) -> float:
        """Return when a turn is due whatever else is: by its absence a node knows of its pause."""
        return 0.0 if self._last_turn is None else self._last_turn + IDLE

    def begin_again(self, now: float, *, settled: bool) -> None:
        """Ask the others whether the node still belongs; a search takes its whole time again."""
        self._doubtful_until = now + DOUBT
        self.doubt_past(now)
        self._next_hello = now
        if self.joined and not settled:
            self._joined_at = now

    def hello_due(self, now: float, settled: bool, has_primary: bool) -> bool:
        """Return whether to say hello now: to be let in, to find a primary, to learn of a loss."""
        if now < self.hello_at(settled, has_primary):
            return False
        doubtful = self._doubtful_until
        if doubtful is not None and now >= doubtful:
            self._doubtful_until = doubtful = None
        if settled:
            self._next_hello = doubtful or now + LONELY
        else:
            self._next_hello = now + self._pause
            self._pause = min(self._pause * 1.5, SLOWEST_HELLO)
        return True

    def hello_at(self, settled: bool, has_primary: bool) -> float:
        """Return when to say hello; inf for never."""
        silent = settled and has_primary and self._doubtful_until is None
        return self._next_hello if self.joined and not silent else inf

    def over_at(self, is_primary: bool, has_primary: bool, waiting: bool) -> float:
        """Return when the search ends; inf when it has not begun.

        `waiting`: somebody is still to be found, to be proved, or to be judged.
        """
        if self._joined_at is None:
            return inf
        window = 0.0 if has_primary else CLAIM_WINDOW if is_primary else PRIMARY_WINDOW
        return self._joined_at + (JOIN_TIMEOUT if waiting else window)
