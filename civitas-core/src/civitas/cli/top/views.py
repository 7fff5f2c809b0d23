"""Views: what the user of the live view has chosen, and what each key changes of it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

IN_ORDER: Final = "topology"
"""The order in which agents start."""

ORDERS: Final = (
    IN_ORDER,
    "agent",
    "process",
    "state",
    "rate",
    "queued",
    "backlog",
    "in hand",
    "time",
    "busy",
    "errors",
    "restarts",
    "lost",
)
"""By what agents can be sorted."""

_PAGE: Final = 10
_LONGEST: Final = 100


@dataclass(frozen=True, slots=True)
class View:
    """What the user has chosen.

    Attributes:
        order: one of `ORDERS`.
        reverse: whether that is turned round.
        filter: what the name of an agent, its process or its state must have in it.
        typing: the filter that is being typed; None while none is.
        paused: whether the frame stays as it is.
        tree: whether the supervision tree is shown.
        help: whether the help is shown.
        selected: the name of the agent that is chosen; empty while none is.
        ended: whether the user has had enough.
    """

    order: str = IN_ORDER
    reverse: bool = False
    filter: str = ""
    typing: str | None = None
    paused: bool = False
    tree: bool = False
    help: bool = False
    selected: str = ""
    ended: bool = False


HELP: Final = (
    ("up, down, k, j", "choose an agent; below stands its last crash"),
    ("page up, page down, home, end", "choose one farther away"),
    ("left, right, <, >", "sort by the column before, or the next one"),
    ("r", "turn the order round"),
    ("/", "type a filter: a part of an agent, a process or a state; Enter keeps it, Esc drops it"),
    ("p, space", "pause, and go on"),
    ("t", "the supervision tree, and back"),
    ("?", "this help, and back"),
    ("q, Ctrl-C", "quit"),
)
"""What the keys do."""


def pressed(view: View, key: str, shown: Sequence[str]) -> View:
    """Return the view after a key; `shown` are the agents that can be chosen, in their order."""
    if view.typing is not None:
        return _typed(view, view.typing, key)
    if view.help:
        return replace(view, help=False, ended=key == "q")
    if key in _STEPS:
        return replace(view, selected=_chosen(view.selected, _STEPS[key], shown))
    change = _CHANGES.get(key)
    return view if change is None else change(view)


def _typed(view: View, typed: str, key: str) -> View:
    match key:
        case "enter":
            return replace(view, filter=typed, typing=None)
        case "escape":
            return replace(view, filter="", typing=None)
        case "backspace":
            typed = typed[:-1]
        case _ if len(key) == 1 and key.isprintable():
            typed = (typed + key)[:_LONGEST]
    return replace(view, filter=typed, typing=typed)  # it acts while it is typed


def _chosen(selected: str, step: int, shown: Sequence[str]) -> str:
    if not shown:
        return selected
    outside = -1 if step > 0 else len(shown)
    at = shown.index(selected) if selected in shown else outside
    return shown[min(max(at + step, 0), len(shown) - 1)]


def _reordered(view: View, step: int) -> View:
    at = (ORDERS.index(view.order) + step) % len(ORDERS)
    return replace(view, order=ORDERS[at], reverse=False)


_FAR: Final = 1 << 30
_STEPS: Final[Mapping[str, int]] = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page up": -_PAGE,
    "page down": _PAGE,
    "home": -_FAR,
    "end": _FAR,
}

_CHANGES: Final[Mapping[str, Callable[[View], View]]] = {
    "left": lambda view: _reordered(view, -1),
    "<": lambda view: _reordered(view, -1),
    "right": lambda view: _reordered(view, 1),
    ">": lambda view: _reordered(view, 1),
    "r": lambda view: replace(view, reverse=not view.reverse),
    "/": lambda view: replace(view, typing=view.filter),
    "p": lambda view: replace(view, paused=not view.paused),
    " ": lambda view: replace(view, paused=not view.paused),
    "t": lambda view: replace(view, tree=not view.tree),
    "?": lambda view: replace(view, help=True),
    "escape": lambda view: replace(view, filter="", selected=""),
    "q": lambda view: replace(view, ended=True),
}
