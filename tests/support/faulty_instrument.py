"""An instrument whose methods raise: those that its option names, or all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from civitas.instruments import NodeView
from civitas.messages import Message
from civitas.plugins import InstrumentContext, InstrumentSpec, hookimpl

METHODS = (
    *("start", "stop", "sending", "handling", "enter", "exit"),
    *("dead_letter", "crashed", "restarted"),
)
"""What may raise: the methods, and the two of the context manager around a handler."""

called: list[str] = []
"""What has raised, in order, of all instruments of this process."""


class Options(BaseModel):
    """Which methods raise."""

    model_config = ConfigDict(extra="forbid")

    raises: list[str] = Field(list(METHODS), description="Names of METHODS.")


class Raising:
    """Raises in each method that it is told to."""

    def __init__(self, options: Options, _context: InstrumentContext) -> None:
        self.raises = options.raises

    def seen(self, what: str) -> None:
        if what in self.raises:
            called.append(what)
            raise SystemExit(what) if len(called) % 2 else LookupError(what)

    def start(self, node: NodeView) -> None:
        self.seen("start")

    def stop(self) -> None:
        self.seen("stop")

    def sending(self, message: Message) -> None:
        self.seen("sending")

    def handling(self, role: str, message: Message) -> RaisingExecution:
        self.seen("handling")
        return RaisingExecution(self)

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        self.seen("dead_letter")

    def crashed(self, agent: str, error: BaseException) -> None:
        self.seen("crashed")

    def restarted(self, agent: str) -> None:
        self.seen("restarted")


class RaisingExecution:
    """Raises before or after a handler, or says that its error is none."""

    def __init__(self, instrument: Raising) -> None:
        self.instrument = instrument

    def __enter__(self) -> None:
        self.instrument.seen("enter")

    def __exit__(self, *_outcome: Any) -> bool:
        self.instrument.seen("exit")
        return True


@hookimpl
def civitas_instruments() -> Iterable[InstrumentSpec]:
    yield InstrumentSpec("faulty", "Raises", Raising, Options)


def lay(folder: Path) -> None:
    """Write what makes it a plugin of whoever has this folder on the path."""
    metadata = folder / "faulty-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[civitas.v1.instruments]\nfaulty = {__name__}\n")
