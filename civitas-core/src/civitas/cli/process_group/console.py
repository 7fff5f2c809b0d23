"""Writes the lines of several processes to one terminal, each with a name in front.

A process may write what it likes, and what agents write has texts of others in it. So of all that a
terminal obeys only colours (SGR) and tabs are let through, and a line's colours end with the line:
no line can move to the name of another process, or hide it. Everything else is escaped.

As JSON each line is an object: a process writes its log records so, and whatever else it writes is
the message of one.
"""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from io import RawIOBase
from itertools import cycle
from typing import Final

from civitas.cli.json_lines import JsonLines
from civitas.errors import printable

OWN_NAME: Final = "up"
LONGEST_LINE: Final = 2 * 1024 * 1024
"""Bytes after which a line is shown in pieces, so that a line without an end takes no memory."""

_RESET: Final = "\x1b[0m"
_LET_THROUGH: Final = re.compile(r"(\x1b\[[0-9;:]{0,64}m|\t)")
_UTF8: Final = codecs.getincrementaldecoder("utf-8")
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
            whole.append(self._piece())
        return whole

    def _piece(self) -> bytes:
        """Return the line so far without the beginning of a character, which is kept."""
        decoder = _UTF8("replace")
        decoder.decode(self._rest)
        begun, _ = decoder.getstate()
        piece = self.rest().removesuffix(begun)
        self._rest += begun
        return piece

    def rest(self) -> bytes:
        """Return the line that has not ended yet, and forget it."""
        line = bytes(self._rest)
        self._rest.clear()
        return line


class Console:
    """Writes lines with names in front to stdout and stderr.

    A line is written whole before the next one, and at once. With `colours`, each of the names has
    its own where a stream is a terminal. With `as_json` each line is an object, without names.
    """

    def __init__(
        self,
        names: Sequence[str],
        out: RawIOBase,
        err: RawIOBase,
        *,
        colours: bool = True,
        as_json: bool = False,
    ) -> None:
        painted = dict([(OWN_NAME, _OWN_COLOUR), *zip(names, cycle(_COLOURS), strict=False)])
        self._json = {name: JsonLines(name) for name in painted} if as_json else {}
        self._streams = {Stream.OUT: out, Stream.ERR: err}
        self._prefixes: dict[tuple[str, Stream], bytes] = {}
        width = max(len(printable(name)) for name in painted)
        for stream, raw in self._streams.items():
            pattern = f"\x1b[{{1}}m{{0}} | {_RESET}" if colours and raw.isatty() else "{0} | "
            for name, colour in painted.items():
                text = pattern.format(printable(name).ljust(width), colour)
                self._prefixes[name, stream] = text.encode()

    def show(self, name: str, stream: Stream, lines: Iterable[bytes]) -> None:
        """Write lines of a process to the stream that it wrote them to.

        Raises:
            OSError: nobody reads the stream any more.
        """
        if name in self._json:
            text = "".join(self._json[name].of_output(each, stream.value) for each in lines)
            self._write(stream, text.encode())
        else:
            prefix = self._prefixes[name, stream]
            self._write(stream, b"".join(prefix + _shown(line) + b"\n" for line in lines))

    def _write(self, stream: Stream, data: bytes) -> None:
        raw, left = self._streams[stream], memoryview(data)
        while left:
            written = raw.write(left)
            if written is None:  # somebody made the terminal that we share non-blocking
                select.select([], [raw], [])
            else:
                left = left[written:]

    def say(self, text: str) -> None:
        """Write a line of `civitas up` itself to stderr; raises as `show` does."""
        if self._json:
            self._write(Stream.ERR, self._json[OWN_NAME].of_message(text).encode())
        else:
            self.show(OWN_NAME, Stream.ERR, [printable(text, sys.maxsize).encode()])


def _shown(line: bytes) -> bytes:
    """Return a line as it may be written to a terminal; the end of a CRLF is no part of it."""
    text = line.removesuffix(b"\r").decode(errors="backslashreplace")
    if text.isprintable():
        return text.encode()
    plain = _LET_THROUGH.split(text)  # with what is let through at every second place
    plain[::2] = [printable(each, sys.maxsize) for each in plain[::2]]
    coloured = any(each != "\t" for each in plain[1::2])
    return ("".join(plain) + _RESET * coloured).encode()


def colours_allowed() -> bool:
    """Return whether the environment allows colours: see https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
