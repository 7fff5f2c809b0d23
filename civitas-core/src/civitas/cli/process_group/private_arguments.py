"""Arguments of the children of `civitas up` that may hold secrets: they stand on no command line.

Every user of a machine can read the command lines of all processes. So these arguments are written
to a file that has no name, and the children inherit its descriptor.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence


class PrivateArguments:
    """The file. The children must inherit `descriptor`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        self._file.write(json.dumps(arguments).encode())
        self._file.flush()
        self.descriptor = self._file.fileno()

    def __enter__(self) -> PrivateArguments:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def take_arguments(descriptor: int) -> list[str]:
    """Return the arguments that a child has inherited, and close its descriptor."""
    # All children share one position in the file, so none must move it.
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    arguments: list[str] = json.loads(text)
    return arguments
