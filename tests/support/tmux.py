"""A real terminal: programs run in tmux, their screen is read, and keys are pressed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import eventually


class Terminal:
    """A terminal of its own server of tmux, in which a line of shell runs."""

    def __init__(self, folder: Path, line: str, columns: int = 110, lines: int = 30) -> None:
        program = shutil.which("tmux")
        assert program is not None, "tmux is not installed: make programs"
        self._tmux = (program, "-S", str(folder / "tmux"), "-f", os.devnull)
        size = ("-x", str(columns), "-y", str(lines))
        self._run("new-session", "-d", *size, "-c", str(folder), f"exec sh -c '{line}'")

    def text(self, *, colours: bool = False) -> str:
        """Return what is on the screen."""
        return self._run("capture-pane", "-p", *(["-e"] if colours else []))

    def until(self, good: Callable[[str], bool]) -> str:
        """Wait until the screen is good, and return it."""
        return eventually(self.text, good)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._run("send-keys", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    def close(self) -> None:
        """End the server, and all that runs in it."""
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        settings = {key: value for key, value in os.environ.items() if key != "TMUX"}
        done = subprocess.run(
            [*self._tmux, *arguments],
            env={**settings, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout


@contextmanager
def terminal(folder: Path, line: str) -> Iterator[Terminal]:
    """Run a line of shell, without single quotes, in a terminal; end it after the block."""
    shown = Terminal(folder, line)
    try:
        yield shown
    finally:
        shown.close()


def row(screen: str, name: str) -> list[str]:
    """Return the words of the last line that begins with a name; none where there is none."""
    lines = [line.split() for line in screen.splitlines() if line.split()[:1] == [name]]
    return lines[-1] if lines else []
