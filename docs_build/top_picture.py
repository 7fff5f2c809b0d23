"""The picture of `civitas top` on the page about watching a system: made of a system made up.

    python -m docs_build.top_picture    writes docs/assets/top.svg

A test sees that the picture is what the command draws today.
"""

from __future__ import annotations

import io
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.terminal_theme import MONOKAI

from civitas.cli.stats.answers import NodeAnswer
from civitas.cli.stats.states import Expected, states_of
from civitas.cli.top.frames import Frame, Look, Memory, frame_of
from civitas.cli.top.rows import TreeBranch
from civitas.cli.top.screen import Head, lines_of
from civitas.cli.top.views import View

PICTURE: Final = Path(__file__).parents[1] / "docs" / "assets" / "top.svg"
_WIDTH: Final = 112
_HEIGHT: Final = 21
_WALL: Final = 1_790_000_000.0
_COUNTERS: Final = [f"counter_{number}" for number in range(1, 5)]
_EXPECTED: Final = Expected(
    ("supervisor", "left", "right"),
    {"librarian": "supervisor"}
    | {name: "left" if at < 2 else "right" for at, name in enumerate(_COUNTERS)},
)
_TREE: Final = TreeBranch(
    "library", "ONE_FOR_ONE", ("librarian", TreeBranch("counters", "ONE_FOR_ONE", tuple(_COUNTERS)))
)
_CRASH: Final = {
    "agent": "counter_2",
    "text": "ValueError: 'guarantees.md': the third file crashes its counter",
    "seconds": 4.2,
}
_GONE: Final = {
    "process": "right",
    "died": True,
    "reason": "no answer to pings for 1.5 s",
    "since": 0.8,
}


def picture() -> str:
    """Return the picture as SVG."""
    view = View(order="rate", selected="counter_2")
    head = Head("examples/word_count.yaml", "zmq", 1.0, UTC)
    console = Console(
        record=True,
        width=_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    for line in lines_of(_frame(), view, _TREE, head, _WIDTH, _HEIGHT):
        console.print(line, soft_wrap=True)
    svg = console.export_svg(
        title="civitas top", theme=MONOKAI, code_format=_FORMAT, unique_id="civitas-top"
    )
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _frame() -> Frame:
    memory, looks = Memory(), (_look(0.0, 1), _look(1.0, 2))
    for look in looks:
        frame, memory = frame_of(look, memory)
    return frame


def _look(at: float, step: int) -> Look:
    """Return a look at the system, of which one process has just been killed."""
    busy = {1: (0.2, 0.2), 2: (1.13, 0.72)}[step]
    handled = {1: (40, 38), 2: (352, 241)}[step]
    left = [
        _agent("counter_1", handled[0], busy[0], mailbox_depth=17, **_held("count", 0.003)),
        _agent("counter_2", handled[1], busy[1], mailbox_depth=3, errors=1, restarts=1),
    ]
    library = _agent("librarian", 90 + 548 * (step - 1), 0.1 * step)
    told = [
        _node("supervisor", library, sent=100 + 551 * (step - 1), delivered=90 + 548 * (step - 1)),
        _node("left", *left, sent=80 + 515 * (step - 1), delivered=90 + 530 * (step - 1)),
    ]
    told[0] |= {"crashes": [_CRASH], "gone": [_GONE], "lost": {"counter_3": 2}}
    answers = [NodeAnswer.read(each) for each in told]
    return Look(at, _WALL + at, states_of(_EXPECTED, answers, reached=True))


def _agent(name: str, handled: int, busy: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": "running", "handled": handled, "busy": busy, **more}


def _held(kind: str, seconds: float) -> dict[str, Any]:
    return {"in_hand": kind, "in_hand_id": "1", "in_hand_for": seconds}


def _node(process: str, *agents: dict[str, Any], **more: Any) -> dict[str, Any]:
    role = "primary" if process == "supervisor" else "worker"
    node = {"supervisor": "63ae39c4", "left": "0f7a51e0"}[process]
    return {"process": process, "node": node, "role": role, "agents": agents, **more}


# The format of rich asks another site for a font; a page of ours asks nobody.
_FORMAT: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" \
aria-label="civitas top on a system of three processes, of which one was just killed" \
class="terminal" style="--diagram-width: 34rem">
  <style>
    .{unique_id}-matrix {{
      font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
      font-size: {char_height}px;
      line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
  </g>
</svg>
"""


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
