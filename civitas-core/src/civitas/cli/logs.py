"""How commands log: one line for each event to stderr, as text or as JSON.

As text it has tracebacks with `--log-level debug` only; as JSON always.
"""

from __future__ import annotations

import logging
import threading
import traceback
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Final

from civitas.cli.output import write_error, write_errors_as, write_to_stderr
from civitas.errors import ConfigurationError, describe, escape_record, logger_of
from civitas.messages import PRIMARY

if TYPE_CHECKING:
    from civitas.cli.json_lines import JsonLines

TEXT: Final = "text"
JSON: Final = "json"
_LEVELS: Final = ("debug", "info", "warning", "error")


class _LineFormatter(logging.Formatter):
    """Writes an event as one line; an exception by the place that raised it."""

    def __init__(self, form: str, date_form: str) -> None:
        super().__init__(form, date_form)
        self._folder = Path.cwd()  # an agent may go elsewhere, and remove that

    def formatException(self, ei: object) -> str:  # noqa: N802 - the name is logging's
        return ""  # `format` adds where the exception was raised

    def format(self, record: logging.LogRecord) -> str:
        record = copy(record)
        record.exc_text = None  # a traceback that was formatted before
        line = super().format(record).rstrip()
        frames = traceback.extract_tb(record.exc_info[2]) if record.exc_info else []
        if not frames:
            return line
        file, folder = Path(frames[-1].filename), self._folder
        shown = file.relative_to(folder) if file.is_relative_to(folder) else file
        return f"{line} ({shown}:{frames[-1].lineno})"


class _StderrHandler(logging.Handler):
    """Writes to stderr, also the records of other libraries and those of agents."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(escape_record)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_error(*self.format(record).split("\n"))
        except Exception:  # noqa: BLE001 - as logging does: a log line that fails is reported
            self.handleError(record)


class _JsonHandler(logging.Handler):
    """Writes each record to stderr as a JSON object."""

    def __init__(self, lines: JsonLines) -> None:
        super().__init__()
        self.addFilter(escape_record)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._lines.of_record(record)
        except Exception as error:  # noqa: BLE001 - whatever a record carries, it is told of
            text = f"a record can't be written: {describe(error)}"
            line = self._lines.of_message(text, "error", record.name)
        write_to_stderr(line)


def configure_logging(level: str, form: str = TEXT, process: str = PRIMARY) -> None:
    """Log all loggers to stderr, from `level` on.

    Args:
        level: the least level that is logged.
        form: `text`; or `json`, in which what the command itself says is written too.
        process: the process name in the system, for JSON.

    Raises:
        ConfigurationError: there is no such level, or no such form.
    """
    name = level.lower()
    if name not in _LEVELS:
        raise ConfigurationError(f"--log-level is one of {', '.join(_LEVELS)}, not {level!r}")
    if form not in (TEXT, JSON):
        raise ConfigurationError(f"--log-format is {TEXT} or {JSON}, not {form!r}")
    logging.basicConfig(level=name.upper(), handlers=[_handler(name, form, process)], force=True)
    if name != "debug":
        # The control plane's transport reports the same connection as the data transport.
        logging.getLogger("civitas.control").setLevel(logging.ERROR)


def log_only_to(handler: logging.Handler) -> None:
    """From now on, let this handler alone have what is logged."""
    logging.getLogger().handlers = [handler]


def _handler(level: str, form: str, process: str) -> logging.Handler:
    if form == TEXT:
        handler = _StderrHandler()
        formatter = logging.Formatter if level == "debug" else _LineFormatter
        pattern = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
        handler.setFormatter(formatter(pattern, "%H:%M:%S"))
        return handler
    from civitas.cli.json_lines import OWN_LOGGER, JsonLines

    lines = JsonLines(process)
    write_errors_as(lines.of_lines)
    logging.captureWarnings(capture=True)
    logger = logger_of(OWN_LOGGER)

    def report(ended: threading.ExceptHookArgs) -> None:
        error = ended.exc_value
        if error is not None and not isinstance(error, SystemExit):
            name = "a thread" if ended.thread is None else f"thread {ended.thread.name!r}"
            logger.error("%s raised %s", name, describe(error), exc_info=error)

    threading.excepthook = report
    return _JsonHandler(lines)
