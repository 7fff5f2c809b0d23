"""Terminal: shows lines on all of it, and hears its keys; gives it back as it was.

What is left of the shell's screen is another screen of the terminal. Keys come at once and are not
shown; those that are signals stay so: Ctrl-C ends, Ctrl-Z stops the program, and both give the
terminal back before.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from civitas.cli import streams
from civitas.cli.top.keys import KeyReader
from civitas.errors import ConfigurationError

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DUMB: Final = {"", "dumb", "unknown"}
_CHUNK: Final = 1024


def check_terminal() -> None:
    """See that there is a terminal on which a live view can be shown.

    Raises:
        ConfigurationError: there is none.
    """
    kind, instead = os.environ.get("TERM", ""), "--once prints one frame, --json one for each look"
    if not (streams.out().isatty() and sys.stdin is not None and sys.stdin.isatty()):
        raise ConfigurationError(f"the live view needs a terminal as stdin and stdout; {instead}")
    if kind in _DUMB:
        raise ConfigurationError(
            f"the terminal says that it is dumb (TERM={kind}), and the live view draws on all of "
            f"it; {instead}"
        )


class Terminal:
    """The terminal of a program, while the program shows something on all of it.

    Args:
        pressed: called with each key.
        resized: called when the terminal has another size, or was another program's for a while.
        ended: called with the signal that ends the program.
    """

    def __init__(
        self,
        pressed: Callable[[str], None],
        resized: Callable[[], None],
        ended: Callable[[signal.Signals], None],
    ) -> None:
        self._pressed = pressed
        self._resized = resized
        self._ended = ended
        self._keys = KeyReader()
        self._console = Console(file=streams.out(), highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._shown: ExitStack | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return os.get_terminal_size(streams.out().fileno())

    def show(self, lines: Sequence[Text]) -> None:
        """Show lines, of which each fits."""
        if self._live is not None:
            self._console.size = os.get_terminal_size(streams.out().fileno())
            self._live.update(Group(*lines), refresh=True)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within the block, the terminal is this program's; called in an event loop."""
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            for number in _ENDING:
                loop.add_signal_handler(number, self._ended, number)
                stack.callback(loop.remove_signal_handler, number)
            for number, call in ((signal.SIGWINCH, self._resized), (signal.SIGTSTP, self._pause)):
                loop.add_signal_handler(number, call)
                stack.callback(loop.remove_signal_handler, number)
            stack.callback(self._give_back)
            self._take()
            loop.add_reader(sys.stdin.fileno(), self._read)
            stack.callback(loop.remove_reader, sys.stdin.fileno())
            yield

    # --- parts ------------------------------------------------------------------------------------

    def _take(self) -> None:
        with ExitStack() as stack:
            descriptor = sys.stdin.fileno()
            before = termios.tcgetattr(descriptor)
            stack.callback(termios.tcsetattr, descriptor, termios.TCSAFLUSH, before)
            tty.setcbreak(descriptor)
            self._live = stack.enter_context(
                Live(
                    console=self._console,
                    screen=True,
                    auto_refresh=False,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
            )
            self._shown = stack.pop_all()

    def _give_back(self) -> None:
        shown, self._shown, self._live = self._shown, None, None
        if shown is not None:
            with suppress(OSError, termios.error):  # the terminal may have gone
                shown.close()

    def _pause(self) -> None:
        """Let the shell have the terminal until it continues this program."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._resized()

    def _read(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), _CHUNK)
        except OSError:
            data = b""
        if not data:  # the terminal has gone
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._ended(signal.SIGHUP)
        for key in self._keys.feed(data):
            self._pressed(key)
