"""How commands log: one line for each event to stderr, tracebacks with `--log-level debug`."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Final

from civitas.errors import ConfigurationError
from civitas.topology.masking import mask_urls

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class LineFormatter(logging.Formatter):
    """Writes an event as one line; an exception by the place that raised it."""

    def formatException(self, ei: object) -> str:  # noqa: N802 - the name is logging's
        """Return nothing: `format` adds where the exception was raised."""
        return ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = super().format(record).rstrip()
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return line
        frames = traceback.extract_tb(error.__traceback__)
        if not frames:
            return line
        file = Path(frames[-1].filename)
        here = Path.cwd()
        shown = file.relative_to(here) if file.is_relative_to(here) else file
        return f"{line} ({shown}:{frames[-1].lineno})"


class StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at the time, so that a progress bar can keep lines above it.

    Passwords in URLs are masked, such as those of the brokers that a client library names.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as a line."""
        try:
            sys.stderr.write(mask_urls(self.format(record)) + "\n")
        except Exception:  # noqa: BLE001 - as logging does: a log line that fails is reported
            self.handleError(record)


def configure_logging(level: str) -> None:
    """Log all loggers to stderr, from `level` on.

    Raises:
        ConfigurationError: there is no such level.
    """
    number = _LEVELS.get(level.lower())
    if number is None:
        raise ConfigurationError(f"--log-level is one of {', '.join(_LEVELS)}, not {level!r}")
    handler = StderrHandler()
    pattern = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    formatter = logging.Formatter if number == logging.DEBUG else LineFormatter
    handler.setFormatter(formatter(pattern, "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    if number > logging.DEBUG:
        # The control plane's transport reports the same connection as the data transport.
        logging.getLogger("civitas.control").setLevel(logging.ERROR)
