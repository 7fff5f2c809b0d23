"""Texts of others in errors and log records: nothing that a terminal obeys, and one line each."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from civitas import AgentProcess, Runtime, Supervisor
from civitas.cli.logs import configure_logging
from civitas.errors import (
    AgentError,
    CivitasError,
    IdentityError,
    Location,
    MailboxFullError,
    MessageRoutingError,
    SerializationError,
    escape_record,
    logger_of,
)
from civitas.topology import Problem, TopologyError
from support.hostile import HOSTILE, NAME, NAME_SHOWN, SHOWN

LOGGER = "civitas.test_texts_of_others"


def subclasses(cls: type) -> Iterator[type]:
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.mark.parametrize(
    "error",
    [
        CivitasError(HOSTILE),
        IdentityError(HOSTILE),
        MessageRoutingError(HOSTILE),
        MailboxFullError(HOSTILE),
        SerializationError(HOSTILE, HOSTILE),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_of_ours_is_one_line_that_no_terminal_obeys(error: CivitasError) -> None:
    assert str(error) == SHOWN
    assert error.args[0] == HOSTILE


def test_an_error_of_another_agent_is_one_line_too() -> None:
    text = str(AgentError("a\x1b[2J", "T\x9b", HOSTILE))
    assert text.isprintable()
    assert SHOWN in text


def test_no_error_of_ours_has_a_text_of_its_own_but_the_one_that_has_lines() -> None:
    import civitas_zmq.transport  # noqa: F401

    ours = (e for e in subclasses(CivitasError) if e.__module__.startswith("civitas"))
    assert {each for each in ours if "__str__" in vars(each)} == {TopologyError}


def test_each_problem_of_a_topology_is_one_line() -> None:
    problem = Problem(Location(HOSTILE, 3), HOSTILE, HOSTILE, HOSTILE)
    text = str(TopologyError([problem, problem]))
    assert text.split("\n") == ["the topology has 2 problems", str(problem), str(problem)]
    assert str(problem) == f"{SHOWN}:3: {SHOWN}: {SHOWN} ({SHOWN})"


def test_a_printed_tree_has_a_line_for_each_name() -> None:
    agent = AgentProcess(NAME)
    runtime = Runtime(Supervisor(f"{NAME}s", [agent]))
    assert runtime.print_tree() == (
        f"{NAME_SHOWN}s (ONE_FOR_ONE)\n  {NAME_SHOWN} [AgentProcess] INITIALIZING"
    )


# --- loggers -------------------------------------------------------------------------------------


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What a handler of a user's own gets."""
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = kept.append  # type: ignore[method-assign]
    logger = logger_of(LOGGER)
    logger.addHandler(handler)
    logger.propagate = False
    yield kept
    logger.removeHandler(handler)


def test_what_is_logged_is_escaped_in_the_record_itself(records: list[logging.LogRecord]) -> None:
    logger_of(LOGGER).warning("%s, %r has gone: %s", HOSTILE, "é", ValueError(HOSTILE))
    assert records[0].getMessage() == f"{SHOWN}, 'é' has gone: {SHOWN}"


def test_a_record_with_nothing_to_escape_keeps_its_arguments(
    records: list[logging.LogRecord],
) -> None:
    logger_of(LOGGER).warning("%s has %d", "東京", 3)
    assert (records[0].msg, records[0].args) == ("%s has %d", ("東京", 3))


def test_a_long_message_is_shortened(records: list[logging.LogRecord]) -> None:
    logger_of(LOGGER).warning("%s", "x" * 1_000_000)
    assert len(records[0].getMessage()) < 100_000
    assert records[0].getMessage().endswith("…")


def test_no_line_of_a_traceback_looks_like_the_next_entry(
    records: list[logging.LogRecord],
) -> None:
    error = ValueError(HOSTILE)
    error.add_note("12:00:00 ERROR forged\n12:00:01 ERROR forged")
    try:
        raise error from KeyError(HOSTILE)
    except ValueError:
        logger_of(LOGGER).exception("it raised")
    lines = (records[0].exc_text or "").split("\n")
    assert lines[0] == "KeyError: " + repr(HOSTILE)
    assert lines[-4].startswith("ValueError: a\\x1b[2J")
    assert lines[-3].startswith("  error: forged")
    assert lines[-2:] == ["  12:00:00 ERROR forged", "  12:00:01 ERROR forged"]
    assert "Traceback (most recent call last):" in lines


def test_a_record_that_can_not_be_formatted_is_left_to_its_handler() -> None:
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%d", ("no number",), None)
    assert escape_record(record)
    assert (record.msg, record.args) == ("%d", ("no number",))


def test_the_name_of_a_logger_is_printable() -> None:
    assert logger_of(f"civitas.transport.{HOSTILE}").name == f"civitas.transport.{SHOWN}"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_the_log_of_a_command_has_one_line_for_each_event_of_any_library(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("another.library").exception("it says %s", HOSTILE)
    first, *traceback = capsys.readouterr().err.splitlines()
    assert first.isprintable()
    assert f"another.library: it says {SHOWN}" in first
    assert all(line.isprintable() for line in traceback)
    assert not any(line.startswith("error: forged") for line in traceback)
    assert bool(traceback) is (level == "debug")


def test_the_log_of_a_command_has_no_password_of_a_url(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logging.getLogger("another.library").error("lost broker://ada:sesame@there:1")
    assert "lost broker://***@there:1" in capsys.readouterr().err
