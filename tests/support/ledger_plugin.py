"""The plugin that offers ledgers of this process, to topologies of tests: `ledger` and `sealed`.

Commands can't reach what a sealed one keeps. It also offers a serializer that has to be told how it
marks its bodies, `marked`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from civitas import envelope
from civitas.errors import DeserializationError
from civitas.messages import Message
from civitas.plugins import SerializerSpec, TransportContext, TransportSpec, hookimpl
from civitas.serializer import JsonSerializer
from support.ledger import Ledger, LedgerStore, LedgerTransport

LEDGERS: dict[str, Ledger] = {}


class LedgerOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


def _make(options: LedgerOptions, context: TransportContext) -> LedgerTransport:
    return LEDGERS[options.name].transport(context)


@hookimpl
def civitas_transports() -> Iterable[TransportSpec]:
    """Offer `ledger` and `sealed`."""
    about = {"factory": _make, "options": LedgerOptions, "capabilities": Ledger.capabilities}
    yield TransportSpec(
        name="ledger",
        summary="A ledger of this process",
        dead_letters=lambda options, _context: LedgerStore(LEDGERS[options.name]),
        **about,
    )
    yield TransportSpec(name="sealed", summary="One that commands can't look into", **about)


class MarkOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mark: str


class Marked(JsonSerializer):
    """JSON behind a mark, without which nothing is read."""

    name = "marked"  # type: ignore[misc]

    def __init__(self, options: MarkOptions) -> None:
        super().__init__()
        self._mark = options.mark.encode()

    def serialize(self, message: Message) -> bytes:
        return self._mark + super().serialize(message)

    def deserialize(self, data: bytes) -> Message:
        if not data.startswith(self._mark):
            raise DeserializationError(f"it does not begin with {self._mark!r}")
        return super().deserialize(data.removeprefix(self._mark))


@hookimpl
def civitas_serializers() -> Iterable[SerializerSpec]:
    """Offer `marked`."""
    yield SerializerSpec("marked", "JSON behind a mark", Marked, MarkOptions)


@contextmanager
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Make a ledger, and the plugin one that this process discovers; it is named by its folder."""
    site = folder / "site"
    info = site / "ledger-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ledger\nVersion: 1\n")
    entries = "".join(f"{name} = {__name__}\n" for name in ("ledger", "sealed"))
    (info / "entry_points.txt").write_text(
        f"[civitas.v1.transports]\n{entries}[civitas.v1.serializers]\nmarked = {__name__}\n"
    )
    monkeypatch.syspath_prepend(str(site))
    ledger = LEDGERS[str(folder)] = Ledger()
    try:
        yield ledger
    finally:
        del LEDGERS[str(folder)]


def marked_frame(mark: str, payload: dict[str, Any]) -> bytes:
    """Return a frame for `cook` with a body of the serializer `marked`."""
    message = Message(sender="front", recipient="cook", payload=payload)
    body = Marked(MarkOptions(mark=mark)).serialize(message)
    return envelope.seal(body, "marked", envelope.Origin(b"12345678", 1))
