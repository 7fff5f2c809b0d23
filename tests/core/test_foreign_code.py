"""Code of plugins and users that core calls: whatever it raises is survived, and said in a line."""

from __future__ import annotations

import asyncio
import io
import logging
import sys

import pytest

from civitas import Message
from civitas._bus.batching import OutgoingBatches
from civitas._bus.codec import FrameCodec, new_origin
from civitas._cluster.probes import Probes
from civitas._cluster.protocol import Probe
from civitas.cli.logs import configure_logging
from civitas.cli.output import write_error
from civitas.errors import DeserializationError, SerializationError
from civitas.messages import compose
from civitas.plugins import TransportContext
from civitas.serializer import JsonSerializer, MsgpackSerializer, Serializer, formats
from civitas.transport import InProcessTransport
from support.agents import SOON
from support.failing import DEFECTS, PanicError

ANYTHING = pytest.mark.parametrize("kind", DEFECTS)


class NoTextError(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


class Failing:
    """A serializer that raises."""

    name = "failing"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def serialize(self, message: Message) -> bytes:
        raise self.error

    def deserialize(self, data: bytes) -> Message:
        raise self.error


# --- serializers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*DEFECTS, NoTextError])
def test_a_serializer_that_raises_when_it_writes(kind: type[BaseException]) -> None:
    codec = FrameCodec(Failing(kind("a\ndefect")), (), new_origin())
    with pytest.raises(SerializationError, match=f"'failing' failed: {kind.__name__}"):
        codec.serialize(compose("a", "b", {}, "message"))


@pytest.mark.parametrize("kind", [*DEFECTS, NoTextError])
def test_a_serializer_that_raises_when_it_reads(kind: type[BaseException]) -> None:
    codec = FrameCodec(Failing(kind("a\ndefect")), (), new_origin())
    with pytest.raises(DeserializationError, match=f"failed to read: {kind.__name__}") as raised:
        codec.read(codec.head + b"body")
    assert "\n" not in str(raised.value)


class Odd(dict[str, object]):
    """A payload whose own code raises."""

    def items(self) -> object:  # type: ignore[override]
        raise PanicError("a defect")

    def __iter__(self) -> object:  # type: ignore[override]
        raise PanicError("a defect")


@pytest.mark.parametrize("serializer", [MsgpackSerializer(), JsonSerializer()])
def test_a_payload_whose_own_code_raises_can_not_be_sent(serializer: Serializer) -> None:
    message = compose("a", "b", {"odd": Odd(x=object())}, "message")
    with pytest.raises(SerializationError, match="can't be sent"):
        serializer.serialize(message)


# --- handlers and transports ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*DEFECTS, asyncio.CancelledError])
@pytest.mark.parametrize("address", ["agent", "_agency.news"])
async def test_a_handler_that_raises_is_survived(kind: type[BaseException], address: str) -> None:
    dropped: list[str] = []
    transport = InProcessTransport(
        TransportContext(dropped=lambda reason, frame: dropped.append(reason))
    )
    await transport.start()

    async def handler(frame: bytes) -> None:
        raise kind("a defect")

    await transport.subscribe(address, handler)
    await transport.publish(address, b"frame")
    assert dropped == ["handler raised"]
    await transport.stop()


async def test_a_sender_that_is_cancelled_in_a_handler_is() -> None:
    transport = InProcessTransport()
    await transport.start()
    handling = asyncio.Event()

    async def handler(frame: bytes) -> None:
        handling.set()
        await asyncio.Event().wait()

    await transport.subscribe("agent", handler)
    sending = asyncio.create_task(transport.publish("agent", b"frame"))
    await handling.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await transport.stop()


@pytest.mark.parametrize("kind", [*DEFECTS, asyncio.CancelledError])
async def test_a_transport_that_fails_to_send_a_probe_is_tried_again(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    transport, failures = InProcessTransport(), list[BaseException]()
    await transport.start()
    publish, errors = transport.publish, [kind("a defect")]

    async def failing(address: str, data: bytes) -> None:
        if errors:
            raise errors.pop()
        await publish(address, data)

    transport.publish = failing  # type: ignore[method-assign]
    heard: list[object] = []
    origin = new_origin()

    def hear(_: str, message: object) -> bool:
        heard.append(message)
        return True

    outgoing = OutgoingBatches(transport, 1.0, print, failures.append)
    probes = Probes(transport, outgoing, origin, hear, lambda _: True, print, failures.append)
    await probes.start()
    for _ in range(2):
        probes.send(origin.node.hex(), Probe())
    async with asyncio.timeout(SOON):
        while not heard:
            await asyncio.sleep(0)
    await probes.stop()
    await transport.stop()
    assert "failed to send" in caplog.text
    assert failures == []


# --- whole numbers as seconds --------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [5, 5.0, None])
def test_a_timeout_in_whole_seconds_is_read_without_a_detour(
    seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def detour(fields: object) -> None:
        raise AssertionError("each field is looked up by its name")

    monkeypatch.setattr(formats.fields, "message_from_fields", detour)
    serializer = MsgpackSerializer()
    message = compose("a", "b", {}, "message", ttl=seconds)
    assert serializer.deserialize(serializer.serialize(message)).ttl == seconds


# --- terminals -----------------------------------------------------------------------------------

HOSTILE = "red \x1b[31m, bell \x07, title \x9d0;x\x9c, back\r, bidi \u202e\u2066, half \ud800"
OBEYED = "\x1b\x07\x9d\x9c\r\u202e\u2066\ud800"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_line_of_the_log_has_what_a_terminal_obeys(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(level)
    try:
        raise ValueError(f"{HOSTILE}\nnext line")
    except ValueError:
        logging.getLogger("civitas.tests").exception("failed: %s", HOSTILE)
    text = stream.getvalue()
    assert "red \\x1b[31m, bell \\x07" in text
    assert not set(OBEYED) & set(text)
    if level == "debug":
        assert "\nTraceback (most recent call last):\n" in text
        lines = text.splitlines()
        assert lines[-1].strip() == "next line"
        assert lines[-1].startswith(" "), "it does not look like the next entry"


def test_an_error_of_a_command_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    write_error("error: two mistakes", f"  {HOSTILE}", "  the other: é")
    lines = capsys.readouterr().err.split("\n")
    assert lines[0] == "error: two mistakes"
    assert lines[2:] == ["  the other: é", ""]
    assert lines[1].startswith("  red \\x1b[31m")
