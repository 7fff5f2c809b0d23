"""The `civitas` command. Its entry point is here and imports nothing; the commands are in `app`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line and exit: 0 for success, 1 for failure, 2 for bad input."""
    gc.disable()  # what a start imports and builds stays; `keep_objects` enables it
    from civitas import _program

    if not _program.begin():
        import sys

        from civitas.cli.app import app_for
        from civitas.cli.entry import run_program

        run_program(app_for(sys.argv[1:]))
