"""Credit is read as a whole: what it may be, and what it is refused for, is as for all else."""

from __future__ import annotations

import msgpack
import pytest

from civitas import envelope
from civitas._cluster.codec import DATA, decode, encode
from civitas._cluster.protocol import Credit
from civitas.envelope import KIND_SYSTEM, Origin
from civitas.errors import CivitasError, DeserializationError

HERE = Origin(b"\x01" * 8, 1)
BEGINNING = b"\x92\xa6Credit\x82"
AGENT, NUMBER = b"\xa5agent\xa1a", b"\xa6number\x07"


def frame(body: bytes) -> bytes:
    return envelope.seal(body, "msgpack", HERE, kind=KIND_SYSTEM)


@pytest.mark.parametrize("agent", ["a", "x" * 200, "ü" * 100, "x" * 300])
@pytest.mark.parametrize("number", [0, 7, 1 << 40, (1 << 64) - 1])
def test_credit_is_read_as_it_was_written(agent: str, number: int) -> None:
    credit = Credit(agent, number)
    assert decode(encode(credit, HERE), DATA) == (HERE, credit)


def test_its_fields_may_come_in_any_order() -> None:
    assert decode(frame(BEGINNING + NUMBER + AGENT), DATA)[1] == Credit("a", 7)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        AGENT,
        AGENT + AGENT,
        AGENT + NUMBER + b"\xc0",
        AGENT + b"\xa6number\xc3",
        AGENT + b"\xa6number\xa17",
        AGENT + b"\xa6number\xca\x3f\x80\x00\x00",
        b"\xa5agent\xc4\x01a" + NUMBER,
        b"\xa5agent\x91\xa1a" + NUMBER,
        b"\xa5agent\xa1\xff" + NUMBER,
        b"\xa5agent\xc7\x00\x01" + NUMBER,
        b"\x90" + NUMBER + AGENT,
        b"\xa5agent" + b"\xdc\xff\xff" * 50,
        AGENT + b"\xa5other\x07",
    ],
)
def test_what_is_no_credit_is_refused(rest: bytes) -> None:
    with pytest.raises(DeserializationError):
        decode(frame(BEGINNING + rest), DATA)


def test_a_credit_with_a_field_of_a_later_version_is_read_without_it() -> None:
    body = msgpack.packb(["Credit", {"agent": "a", "number": 7, "other": [1]}])
    assert decode(frame(body), DATA)[1] == Credit("a", 7)


def test_it_is_no_control_message() -> None:
    with pytest.raises(CivitasError):
        decode(encode(Credit("a", 7), HERE))
