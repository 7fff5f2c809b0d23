"""Writes the lines of several processes to one terminal, each with a name in front."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Sequence
from enum import Enum
from io import RawIOBase
from itertools import cycle
from typing import Final

OWN_NAME: Final = "up"
LONGEST_LINE: Final = 4 * 1024 * 1024
"""Bytes after which a line is shown in pieces, so that a line without an end takes no memory."""

_OWN_COLOUR: Final = "1"
_COLOURS: Final = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


class Stream(Enum):
    """Where a process writes to."""

    OUT = "stdout"
    ERR = "stderr"


class Lines:
    """Cuts the chunks that are read from a pipe into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in this chunk, without their ends."""
        *whole, rest = chunk.split(b"\n")
        if whole:
            whole[0] = self.rest() + whole[0]
        self._rest += rest
        if len(self._rest) >= LONGEST_LINE:
            whole.append(self.rest())
        return whole

    def rest(self) -> bytes:
        """Return the line that has not ended yet, and forget it."""
        line = bytes(self._rest)
        self._rest.clear()
        return line


class Console:
    """Writes lines with names in front to stdout and stderr.

    A line is written whole before the next one, and at once. Nothing is decoded. With `colours`,
    each of the names has its own where a stream is a terminal.
    """

    def __init__(
        self, names: Sequence[str], out: RawIOBase, err: RawIOBase, *, colours: bool = True
    ) -> None:
        self._streams = {Stream.OUT: out, Stream.ERR: err}
        self._prefixes: dict[tuple[str, Stream], bytes] = {}
        painted = dict([(OWN_NAME, _OWN_COLOUR), *zip(names, cycle(_COLOURS), strict=False)])
        width = max(map(len, painted))
        for stream, raw in self._streams.items():
            pattern = "\x1b[{1}m{0} | \x1b[0m" if colours and raw.isatty() else "{0} | "
            for name, colour in painted.items():
                text = pattern.format(name.ljust(width), colour)
                self._prefixes[name, stream] = text.encode(errors="backslashreplace")

    def show(self, name: str, stream: Stream, lines: Iterable[bytes]) -> None:
        """Write lines of a process to the stream that it wrote them to.

        Raises:
            OSError: nobody reads the stream any more.
        """
        prefix, raw = self._prefixes[name, stream], self._streams[stream]
        left = memoryview(b"".join(prefix + line + b"\n" for line in lines))
        while left:
            written = raw.write(left)
            if written is None:  # somebody made the terminal that we share non-blocking
                select.select([], [raw], [])
            else:
                left = left[written:]

    def say(self, text: str) -> None:
        """Write a line of `civitas up` itself to stderr; raises as `show` does."""
        self.show(OWN_NAME, Stream.ERR, [text.encode(errors="backslashreplace")])


def colours_allowed() -> bool:
    """Return whether the environment allows colours: see https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
