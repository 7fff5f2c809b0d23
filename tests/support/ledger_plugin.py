"""The plugin that offers ledgers of this process, to topologies of tests: `ledger` and `sealed`.

Commands can't reach what a sealed one keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from civitas.plugins import TransportContext, TransportSpec, hookimpl
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


@contextmanager
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Make a ledger, and the plugin one that this process discovers; it is named by its folder."""
    site = folder / "site"
    info = site / "ledger-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ledger\nVersion: 1\n")
    entries = "".join(f"{name} = {__name__}\n" for name in ("ledger", "sealed"))
    (info / "entry_points.txt").write_text(f"[civitas.v1.transports]\n{entries}")
    monkeypatch.syspath_prepend(str(site))
    ledger = LEDGERS[str(folder)] = Ledger()
    try:
        yield ledger
    finally:
        del LEDGERS[str(folder)]
