"""Text files that can't be read to their end before a test lets go of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class HeldFile:
    """A text file whose readers wait until `release`; from then on it is an ordinary one.

    It is a FIFO: who opens it waits for this process to do so, and then for what it writes. A
    reader that is killed leaves nothing behind: the next one waits as well, or finds the ordinary
    file.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text.encode()
        self._holds = True
        self._open: int | None = None
        """What keeps readers waiting that have it open."""
        os.mkfifo(path)

    @property
    def is_read(self) -> bool:
        """Whether somebody reads it now, and waits."""
        try:
            seen = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody has it open to read
                return False
            raise
        if self._open is None:
            self._open = seen
        else:
            os.close(seen)
        return True

    def release(self) -> None:
        """Let the reader that waits have the text, and each later one."""
        if self._holds:
            whole = self.path.with_name(f"{self.path.name}.new")
            whole.write_bytes(self._text)
            self._let_go(self._text, whole)

    def close(self) -> None:
        """Hold nobody any more; who has waited finds nothing."""
        if self._holds:
            self._let_go(b"")

    def _let_go(self, text: bytes, whole: Path | None = None) -> None:
        self._holds = False
        end = os.open(self.path, os.O_RDWR)  # which lets those go on who wait for a writer
        if whole is not None:
            whole.rename(self.path)
        os.write(end, text)
        os.close(end)
        if self._open is not None:
            os.close(self._open)
