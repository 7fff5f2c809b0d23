"""Printing: frames on stdout, one or one after the other, as text or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from civitas.cli.output import write_json_line
from civitas.cli.top.as_json import json_of
from civitas.cli.top.frames import Memory, frame_of
from civitas.cli.top.looking import looks
from civitas.cli.top.plain import write_frame
from civitas.errors import NotConnectedError

if TYPE_CHECKING:
    from civitas.client import Client
    from civitas.topology import Topology


async def print_frames(
    make: Callable[[], Client],
    topology: Topology,
    interval: float,
    timeout: float,
    *,
    once: bool,
    as_json: bool,
) -> None:
    """Print a frame for each look; with `once` the first that has rates, and no more.

    Raises:
        NotConnectedError: with `once`: no process of the system was seen; the frame is printed.
    """
    memory, number = Memory(), 0
    async with aclosing(looks(make, topology, interval, timeout)) as seen:
        async for look in seen:
            frame, memory = frame_of(look, memory)
            number += 1
            if once and number < 2 and not look.problem:
                continue  # a rate is a difference
            if as_json:
                write_json_line(json_of(frame))
            else:
                write_frame(frame)
            if once:
                if frame.problem and not any(line.role for line in frame.processes):
                    raise NotConnectedError(frame.problem)
                return
