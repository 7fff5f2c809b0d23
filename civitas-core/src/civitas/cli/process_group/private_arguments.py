"""What the children of `civitas up` get that stands on no command line, since it may be secret.

Every user of a machine can read the command lines of all processes. So the values of `--set`, and
topologies that came through a pipe, are written to a file that has no name, and the children
inherit its descriptor.
"""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

from civitas.cli.notices import Inherited


class PrivateArguments:
    """The file. The children must inherit `descriptor`.

    Args:
        arguments: what the children get after their other arguments.
        files: contents of files that can't be read again, by path.
        notices: where they tell how they are; None where nobody wants to hear it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        files: Mapping[str, bytes],
        notices: Inherited | None = None,
    ) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block
        contents = {path: b64encode(data).decode() for path, data in files.items()}
        self._file.write(json.dumps([arguments, contents, notices]).encode())
        self._file.flush()
        self.descriptor = self._file.fileno()

    def __enter__(self) -> PrivateArguments:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def take_arguments(descriptor: int) -> tuple[list[str], dict[str, bytes], Inherited | None]:
    """Return arguments, files and notices of a child, as it was made; close its descriptor."""
    # All children share one position in the file, so none must move it.
    text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.close(descriptor)
    arguments, contents, notices = json.loads(text)
    files = {path: b64decode(data) for path, data in contents.items()}
    return arguments, files, None if notices is None else Inherited(*notices)
