"""Batches: several frames of one address as one message of the wire, and nothing else comes in."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas.envelope import BATCH, BATCH_OVERHEAD, MAX_BATCH_FRAMES, Origin
from civitas.errors import FrameError

NODE = Origin(b"12345678", 7)
FRAME = envelope.seal(b"body", "json", NODE)

some_frames = st.lists(
    st.builds(
        lambda body, kind, number: envelope.seal(body, "json", NODE, kind=kind, number=number),
        st.binary(max_size=60),
        st.integers(0, 2),
        st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=20,
)


def claiming(length: int, data: bytes) -> bytes:
    return struct.pack(">I", length) + data


@given(some_frames)
def test_the_frames_of_a_batch_come_out_as_they_went_in(frames: list[bytes]) -> None:
    assert envelope.frames_in(envelope.batch(frames)) == frames


def test_the_layout_is_the_documented_one() -> None:
    other = envelope.seal(b"", "x", NODE, kind=envelope.KIND_REPLY)
    whole = b"\xc1\x01\x03\x00" + claiming(len(FRAME), FRAME) + claiming(len(other), other)
    assert envelope.batch([FRAME, other]) == whole
    assert len(whole) == 3 * BATCH_OVERHEAD + len(FRAME) + len(other)


def test_a_batch_holds_as_many_frames_as_a_window_and_no_more() -> None:
    assert len(envelope.frames_in(envelope.batch([FRAME] * MAX_BATCH_FRAMES))) == MAX_BATCH_FRAMES
    with pytest.raises(FrameError, match="more than"):
        envelope.frames_in(envelope.batch([FRAME] * (MAX_BATCH_FRAMES + 1)))


SIGNED = FRAME[:2] + b"\x80" + FRAME[3:] + bytes(24)


@pytest.mark.parametrize(
    "broken",
    [
        BATCH,
        BATCH[:3],
        b"\xc1\x01\x03\x01" + claiming(len(FRAME), FRAME),
        BATCH + b"\0",
        BATCH + claiming(0, b""),
        BATCH + claiming(len(FRAME) + 1, FRAME),
        BATCH + claiming(2**32 - 1, FRAME),
        BATCH + claiming(len(FRAME), FRAME) + b"\0\0\0",
        BATCH + claiming(len(FRAME), FRAME) + claiming(26, FRAME[:26]),
        BATCH + claiming(len(FRAME), b"?" * len(FRAME)),
        envelope.batch([envelope.batch([FRAME])]),
        envelope.batch([SIGNED]),
        FRAME,
        b"",
    ],
    ids=[
        "no frame",
        "cut in its beginning",
        "no zero",
        "cut in a length",
        "an empty frame",
        "a false length",
        "a huge length",
        "cut in its second length",
        "a frame that is too short",
        "bytes that are no frame",
        "a batch in a batch",
        "a signed frame",
        "a single frame",
        "nothing",
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(broken: bytes) -> None:
    with pytest.raises(FrameError):
        envelope.frames_in(broken)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_frame_error(noise: bytes) -> None:
    for each in (noise, BATCH + noise):
        with contextlib.suppress(FrameError):
            envelope.frames_in(each)


def test_a_batch_takes_no_more_memory_than_its_bytes_however_many_frames_it_claims() -> None:
    smallest = envelope.seal(b"", "x", NODE)
    huge = BATCH + claiming(len(smallest), smallest) * 50_000
    tracemalloc.start()
    with pytest.raises(FrameError):
        envelope.frames_in(huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


def test_whoever_reads_a_single_frame_refuses_a_batch() -> None:
    whole = envelope.batch([FRAME, FRAME])
    for read in (envelope.open, envelope.contents, envelope.reply_to_of):
        with pytest.raises(FrameError):
            read(whole)
