"""Hostile text: what a peer, a file or a plugin would send to a terminal or a log."""

from __future__ import annotations

HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b31m\x7f\r\nerror: forged\u202e\u2066\u200f\u2028[red]x[/red]"
"""C0, C1, escape sequences, DEL, newlines, bidirectional marks and the markup of tables."""

SHOWN = r"a\x1b[2J\x1b]0;t\x07\x9b31m\x7f\r\nerror: forged\u202e\u2066\u200f\u2028[red]x[/red]"
"""The same, as it is shown."""

NAME = "n\x1b[2J\x9b\x7f\u202e\u200f[red]x:cd:"
"""Hostile text that is a name of an agent, a supervisor or a process: without white space."""

NAME_SHOWN = r"n\x1b[2J\x9b\x7f\u202e\u200f[red]x:cd:"


def obeyed(text: str) -> list[str]:
    """Return the characters of an output that a terminal would obey, but the ends of lines."""
    return sorted({each for each in text if not each.isprintable() and each != "\n"})
