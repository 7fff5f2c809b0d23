"""Everything that user code may raise, and how each is described."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from civitas.errors import MessageRoutingError


class PanicError(BaseException):
    """What a library of another language raises when it panics: no `Exception`."""


class NoTextError(Exception):
    """An exception that can be neither printed nor shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


RAISED: Final[dict[str, tuple[Callable[[], BaseException], str]]] = {
    "an Exception": (lambda: ValueError("no good"), "ValueError: no good"),
    "a BaseException": (lambda: PanicError("index out of range"), "PanicError: index out of range"),
    "SystemExit": (lambda: SystemExit(2), "SystemExit: 2"),
    "KeyboardInterrupt, by code": (lambda: KeyboardInterrupt("k"), "KeyboardInterrupt: k"),
    "GeneratorExit": (lambda: GeneratorExit("g"), "GeneratorExit: g"),
    "an exception without a text": (
        NoTextError,
        "NoTextError: (its text can't be had: __str__ raised RuntimeError)",
    ),
    "a text that can't be encoded": (lambda: ValueError("a\ud800b\n"), r"ValueError: a\ud800b\n"),
    "a text larger than a frame": (lambda: ValueError("x" * 3_000_000), "ValueError: xxxxxxxx"),
    "an error of ours": (
        lambda: MessageRoutingError("there is no agent called 'x'"),
        "MessageRoutingError: there is no agent called 'x'",
    ),
    "a cancellation that nobody asked for": (
        asyncio.CancelledError,
        "RuntimeError: what {hook} awaited was cancelled",
    ),
}
"""By kind: what makes one, and how its description begins; `{hook}` stands for the hook's name."""
