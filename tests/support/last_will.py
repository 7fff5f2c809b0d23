"""LastWill: what is to be done when this process ends, also when it is killed."""

from __future__ import annotations

import shlex
import subprocess
from typing import Final

_WATCH: Final = 'will=:; while read -r line; do will=$line; done; eval "$will"'
"""Keeps the last line that it was told, and does it when nobody is left to tell it another."""

_NOTHING: Final = ":"


class LastWill:
    """A command that is run when this process ends without having taken it back.

    A shell waits for the end of a pipe of which this process has the other end. PR_SET_PDEATHSIG is
    less to write, and would end a server with the thread that started it.
    """

    def __init__(self, *command: str) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",  # so that it keeps no file system busy
            start_new_session=True,  # so that ^C is not for it
        )
        if command:
            self.change(*command)

    def change(self, *command: str) -> None:
        """Have this command run instead."""
        self._tell(shlex.join(command))

    def revoke(self) -> None:
        """Have nothing run."""
        if self._shell.returncode is None:
            self._tell(_NOTHING)
            with self._shell:  # closes the pipe
                pass

    def _tell(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{line}\n".encode())
        self._shell.stdin.flush()
