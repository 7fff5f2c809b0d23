"""Descriptions: any exception in words that can be logged, sent and shown, whatever it does."""

from __future__ import annotations

import asyncio
import io
import logging
import signal
import threading
from collections.abc import Callable

import pytest

from civitas.errors import TEXT_LIMIT, AbortError, crash_of, describe, is_interrupt, logger_of


class NoTextError(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


class Sly(str):
    """Text of user code, which may be no plain text either."""

    def __getitem__(self, key: object) -> str:
        raise SystemExit("no character")

    def isprintable(self) -> bool:
        return True


class SlyTextError(Exception):
    def __str__(self) -> str:
        return Sly("a\x1b[2Jb")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no good"), "ValueError: no good"),
        (ValueError(), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (ValueError("a\nb\r\tc"), r"ValueError: a\nb\r\tc"),
        (ValueError("\x1b[31mred\x9b\x7f\0"), r"ValueError: \x1b[31mred\x9b\x7f\x00"),
        (ValueError("a\ud800b"), r"ValueError: a\ud800b"),
        (ValueError("a\u202eb\u2066\u200f\u2028"), r"ValueError: a\u202eb\u2066\u200f\u2028"),
        (ValueError("Zoë 東京 🙂"), "ValueError: Zoë 東京 🙂"),
        (NoTextError(), "NoTextError: (its text can't be had: __str__ raised SystemExit)"),
        (SlyTextError(), r"SlyTextError: a\x1b[2Jb"),
        (type("a\nb", (Exception,), {})("c"), r"a\nb: c"),
        (SystemExit(2), "SystemExit: 2"),
    ],
)
def test_an_exception_is_described_in_one_line(error: BaseException, said: str) -> None:
    assert str(describe(error)) == said


@pytest.mark.parametrize("text", ["x" * 1_000_000, "é" * 9_000, "\ud800" * 9_000, "🙂" * 9_000])
def test_a_long_text_is_shortened(text: str) -> None:
    said = describe(ValueError(text)).text
    assert TEXT_LIMIT - 4 <= len(said.encode()) <= TEXT_LIMIT
    assert said.endswith("…")


def test_the_name_of_a_class_may_be_of_any_length() -> None:
    assert len(describe(type("X" * 10_000, (Exception,), {})()).kind) <= 200


def test_what_is_no_exception_becomes_one_that_is_described_as_what_was_raised() -> None:
    crash = crash_of(SystemExit("the end"))
    assert isinstance(crash, AbortError)
    assert isinstance(crash.__cause__, SystemExit)
    assert str(describe(crash)) == str(crash) == "SystemExit: the end"


def test_an_exception_stays_what_it_is() -> None:
    error = ValueError()
    assert crash_of(error) is error


def caught(raises: Callable[[], object]) -> BaseException:
    try:
        raises()
    except BaseException as error:  # noqa: BLE001 - it is what is looked at
        return error
    raise AssertionError("nothing was raised")


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def await_one() -> None:
    asyncio.run(_failed_future())


async def _failed_future() -> None:
    future = asyncio.get_running_loop().create_future()
    try:
        raise_interrupt()
    except KeyboardInterrupt as error:
        future.set_exception(error)
    await future


def signalled() -> None:
    signal.raise_signal(signal.SIGINT)
    while True:  # until the handler has run
        pass


@pytest.fixture(params=["Python's own handler", "a handler in Python"])
def _handling(request: pytest.FixtureRequest) -> object:
    def handler(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    own = request.param == "Python's own handler"
    before = signal.signal(signal.SIGINT, signal.default_int_handler if own else handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_handling")
class TestInterrupts:
    def test_one_that_a_signal_has_raised_ends_the_process(self) -> None:
        error = caught(signalled)
        assert is_interrupt(error)
        with pytest.raises(KeyboardInterrupt):
            crash_of(error)

    @pytest.mark.parametrize("raises", [raise_interrupt, await_one])
    def test_one_that_code_has_raised_is_a_crash(self, raises: Callable[[], None]) -> None:
        error = caught(raises)
        assert not is_interrupt(error)
        assert str(crash_of(error)) == "KeyboardInterrupt"

    def test_in_another_thread_no_signal_raises(self) -> None:
        found: list[bool] = []
        thread = threading.Thread(
            target=lambda: found.append(is_interrupt(caught(raise_interrupt)))
        )
        thread.start()
        thread.join()
        assert found == [False]


def test_the_second_interrupt_of_asyncio_run_is_one() -> None:
    found: list[bool] = []

    async def main() -> None:
        def twice() -> None:
            signal.raise_signal(signal.SIGINT)
            signalled()

        found.append(is_interrupt(caught(twice)))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [True]


def logged(error: BaseException) -> str:
    """Log an exception, and return what a handler has written of it."""
    stream = io.BytesIO()
    handler = logging.StreamHandler(io.TextIOWrapper(stream, "utf-8", write_through=True))
    logger = logger_of("civitas.test_descriptions")
    logger.addHandler(handler)
    try:
        logger.error("it raised", exc_info=error)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue().decode()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\ud800b\x1b[2J\u202e"), r"ValueError: a\ud800b\x1b[2J\u202e"),
        (NoTextError(), "NoTextError: <exception str() failed>"),
        (ValueError("x" * 1_000_000), "ValueError: " + "x" * 4000),
    ],
)
def test_a_logged_exception_can_be_written_anywhere(error: BaseException, line: str) -> None:
    written = logged(error)
    assert written.startswith("it raised\n")
    assert any(each.endswith(line) or line in each for each in written.split("\n"))
    assert len(written) < 10_000


def test_a_traceback_of_very_many_lines_is_cut_in_the_middle() -> None:
    written = logged(ValueError("first\n" + "between\n" * 9_999 + "last"))
    lines = written.rstrip().split("\n")
    assert (lines[1], lines[-1]) == ("ValueError: first", "  last")
    assert len(lines) < 500


def test_a_logger_has_the_filter_once() -> None:
    first, second = logger_of("civitas.test_descriptions"), logger_of("civitas.test_descriptions")
    assert first is second
    assert len(first.filters) == 1
