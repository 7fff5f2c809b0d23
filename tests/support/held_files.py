"""Text files that can't be read to their end before a test lets go of them."""

from __future__ import annotations

import os
from pathlib import Path


class HeldFile:
    """A text file whose readers wait until `release`; from then on it is an ordinary one.

    It is a FIFO that this process has open, so whoever reads it waits for its end. A reader that is
    killed leaves nothing behind: the next one waits as well, or finds the ordinary file.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text.encode()
        os.mkfifo(path)
        self._open: int | None = os.open(path, os.O_RDWR)

    def release(self) -> None:
        """Let the reader that waits have the text, and each later one."""
        if self._open is None:
            return
        whole = self.path.with_name(f"{self.path.name}.new")
        whole.write_bytes(self._text)
        whole.rename(self.path)
        os.write(self._open, self._text)
        self.close()

    def close(self) -> None:
        """Hold nobody any more; who has waited finds nothing."""
        if self._open is not None:
            os.close(self._open)
            self._open = None
