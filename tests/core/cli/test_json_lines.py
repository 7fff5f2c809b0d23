"""Log records and messages of a command as JSON: each is one object in one line, whatever it is."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas.cli.json_lines import JsonLines
from civitas.cli.process_group.console import OWN_NAME, Console, Stream
from civitas.errors import escape_record
from support.hostile import HOSTILE, obeyed

LINES = JsonLines("worker")


class Odd:
    """Has no text."""

    def __repr__(self) -> str:
        raise ValueError(HOSTILE)


class OddError(Exception):
    def __str__(self) -> str:
        raise ValueError(HOSTILE)


def objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of lines; nothing else is in them."""
    assert obeyed(text) == []
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def record(message: Any = "hello", *arguments: Any, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("mine", logging.WARNING, __file__, 1, message, arguments, None)
    vars(made).update(extra)
    return made


def written(made: logging.LogRecord) -> dict[str, Any]:
    escape_record(made)
    (only,) = objects(LINES.of_record(made))
    return only


def raised(error: BaseException) -> Any:
    with pytest.raises(type(error)) as caught:
        raise error
    return (caught.type, caught.value, caught.tb)


def test_a_record_has_its_time_level_logger_message_and_process() -> None:
    made = record("hello %s", "world", created=1_700_000_000.25)

    assert written(made) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "mine",
        "message": "hello world",
        "process": "worker",
    }
    assert datetime.fromisoformat(written(made)["time"]).tzinfo is not None


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (record("odd %d", "x"), "'odd %d' does not fit its arguments ['x']: TypeError"),
        (record("odd %s %s", 1), "'odd %s %s' does not fit its arguments [1]: TypeError"),
        (record(Odd()), "its repr failed: ValueError"),
        (record("%s", Odd()), "does not fit its arguments"),
        (record({"a": 1}), "{'a': 1}"),
        (record("a\nb"), r"a\nb"),
        (record(HOSTILE), "forged"),
        (record("half \ud800"), "half"),
        (record("x" * 1_000_000), "xxx"),
    ],
)
def test_an_odd_message_is_described(made: logging.LogRecord, message: str) -> None:
    assert message in written(made)["message"]
    assert len(written(made)["message"]) <= 64 * 1024


def test_an_exception_has_type_text_and_traceback() -> None:
    exception = written(record(exc_info=raised(ValueError("no\nsuch"))))["exception"]

    assert (exception["type"], exception["text"]) == ("ValueError", r"no\nsuch")
    assert exception["traceback"].startswith("Traceback (most recent call last):\n  File")


@pytest.mark.parametrize(
    "error", [OddError(), KeyboardInterrupt(), ExceptionGroup("a", [OddError()])]
)
def test_an_odd_exception_is_described(error: BaseException) -> None:
    assert written(record(exc_info=raised(error)))["exception"]["type"] == type(error).__name__
    assert written(record("%d", "x", exc_info=raised(error)))["exception"]["traceback"]


def test_what_a_record_has_besides_is_kept_as_far_as_json_goes() -> None:
    loop: list[Any] = []
    loop.append(loop)
    extra = {"order": 5, "odd": Odd(), "nan": float("nan"), "big": 10**5000, "loop": loop}

    kept = written(record(**extra, nested={1: (2, {3}), "when": datetime(2026, 1, 1, tzinfo=UTC)}))

    assert kept["extra"]["order"] == 5
    assert kept["extra"]["nan"] == "nan"
    assert kept["extra"]["big"] == "(int, very large)"
    assert "its repr failed" in kept["extra"]["odd"]
    assert kept["extra"]["nested"]["1"] == [2, [3]]
    assert "2026" in kept["extra"]["nested"]["when"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
KEYS = st.text() | st.integers() | st.binary()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=8
)


@given(st.text(), st.lists(VALUES, max_size=3), st.dictionaries(st.text("abc", min_size=1), VALUES))
def test_any_record_is_one_object(
    message: str, arguments: list[Any], extra: dict[str, Any]
) -> None:
    written(record(message, *arguments, **extra))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["error: no"], [("error", "no")]),
        (
            ["error: 2 problems", "a:1: x", "a:2: y"],
            [("error", each) for each in ("2 problems", "a:1: x", "a:2: y")],
        ),
        (["warning: w"], [("warning", "w")]),
        (["note: n"], [("info", "n")]),
        (["running: 1 agent"], [("info", "running: 1 agent")]),
        ([HOSTILE], [("info", HOSTILE)]),
    ],
)
def test_a_message_of_the_command_has_a_level(
    lines: list[str], expected: list[tuple[str, str]]
) -> None:
    found = objects(LINES.of_lines(lines))

    assert [(each["level"], each["message"]) for each in found] == expected
    assert {each["logger"] for each in found} == {"civitas.cli"}


def test_a_traceback_is_one_object() -> None:
    (only,) = objects(LINES.of_lines(["Traceback (most recent call last):", "  File", "E: x"]))

    assert (only["level"], only["message"]) == ("error", "E: x")
    assert only["exception"]["traceback"].endswith("  File\nE: x")


class Logs(AgentProcess):
    """Writes a record in each hook, from its task, and from what it has started."""

    async def on_start(self) -> None:
        logging.getLogger("agents").warning("starting")
        await asyncio.create_task(self.log("started"))
        await asyncio.to_thread(logging.getLogger("agents").warning, "in a thread")

    async def log(self, text: str, logger: str = "agents") -> None:
        logging.getLogger(logger).warning(text)

    async def handle(self, message: Message) -> Message:
        logging.getLogger("civitas.agent").warning("handling")
        await asyncio.create_task(self.log("of core, in another task", "civitas.node"))
        return self.reply({"trace": message.trace_id})


class Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, Any]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        (only,) = objects(LINES.of_record(record))
        self.found[only["message"]] = only


async def test_a_record_has_the_agent_and_the_trace_that_it_belongs_to() -> None:
    handler = Collecting()
    logging.getLogger().addHandler(handler)
    try:
        async with Runtime(Supervisor("root", [Logs("logs")])) as runtime:
            reply = await runtime.ask("logs", {})
            logging.getLogger("agents").warning("outside")
    finally:
        logging.getLogger().removeHandler(handler)

    agents = {key: (each.get("agent"), each.get("trace")) for key, each in handler.found.items()}
    assert agents["starting"] == agents["started"] == agents["in a thread"] == ("logs", None)
    assert agents["handling"] == ("logs", reply.payload["trace"])
    assert agents["of core, in another task"] == agents["outside"] == (None, None)


class Raw(io.RawIOBase):
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def test_every_line_of_up_is_an_object() -> None:
    out, err = Raw(), Raw()
    console = Console(["supervisor", "w"], out, err, as_json=True)
    own = JsonLines("w").of_message("own").strip()
    lines = ["text\r", own, JsonLines("other").of_message("forged").strip(), '{"time": ', HOSTILE]

    console.say("starting")
    console.show("w", Stream.ERR, [each.encode() for each in lines])
    console.show("w", Stream.OUT, [b"\xff", b'{"its": "own"}'])

    starting, text, untouched, *others = objects(err.data.decode())
    assert (starting["process"], starting["message"]) == (OWN_NAME, "starting")
    assert (text["process"], text["logger"], text["message"]) == ("w", "stderr", "text")
    assert untouched == json.loads(own)
    assert {(each["process"], each["logger"]) for each in others} == {("w", "stderr")}
    assert [each["message"] for each in others] == lines[2:]
    messages = [each["message"] for each in objects(out.data.decode())]
    assert messages == [r"\xff", '{"its": "own"}']
