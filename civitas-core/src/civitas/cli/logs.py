"""How commands log: one line for each event to stderr, tracebacks with `--log-level debug`."""

from __future__ import annotations

import logging
import traceback
from copy import copy
from pathlib import Path
from typing import Final

from civitas.cli.output import write_error
from civitas.errors import ConfigurationError, escape_record

_LEVELS: Final = ("debug", "info", "warning", "error")


class _LineFormatter(logging.Formatter):
    """Writes an event as one line; an exception by the place that raised it."""

    def formatException(self, ei: object) -> str:  # noqa: N802 - the name is logging's
        return ""  # `format` adds where the exception was raised

    def format(self, record: logging.LogRecord) -> str:
        record = copy(record)
        record.exc_text = None  # a traceback that was formatted before
        line = super().format(record).rstrip()
        frames = traceback.extract_tb(record.exc_info[2]) if record.exc_info else []
        if not frames:
            return line
        file, here = Path(frames[-1].filename), Path.cwd()
        shown = file.relative_to(here) if file.is_relative_to(here) else file
        return f"{line} ({shown}:{frames[-1].lineno})"


class _StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at the time, so that a progress bar can keep lines above it.

    The records of other libraries come here too, and so do those of agents.
    """

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(escape_record)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_error(*self.format(record).split("\n"))
        except Exception:  # noqa: BLE001 - as logging does: a log line that fails is reported
            self.handleError(record)


def configure_logging(level: str) -> None:
    """Log all loggers to stderr, from `level` on.

    Raises:
        ConfigurationError: there is no such level.
    """
    name = level.lower()
    if name not in _LEVELS:
        raise ConfigurationError(f"--log-level is one of {', '.join(_LEVELS)}, not {level!r}")
    handler = _StderrHandler()
    formatter = logging.Formatter if name == "debug" else _LineFormatter
    handler.setFormatter(formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=name.upper(), handlers=[handler], force=True)
    if name != "debug":
        # The control plane's transport reports the same connection as the data transport.
        logging.getLogger("civitas.control").setLevel(logging.ERROR)
