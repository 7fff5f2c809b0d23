"""The hooks that a plugin implements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pluggy

from civitas.plugins.specs import InstrumentSpec, SerializerSpec, TransportSpec

PROJECT: Final = "civitas"

hookspec: Final = pluggy.HookspecMarker(PROJECT)
"""Marks the hooks below; a plugin has no use for it."""

hookimpl: Final = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin's module as what implements the hook of its name."""


@hookspec
def civitas_transports() -> Iterable[TransportSpec]:  # type: ignore[empty-body]
    """Offer transports.

    Called once, after the plugin's module has been imported, with no arguments.

    Returns:
        The specs of the transports in this module. The one whose name equals the entry point's
        name is used; a module may serve several entry points.

    Example:
        The plugin `carrier_pigeon`, its options and its entry point:

            from pydantic import BaseModel, ConfigDict, Field
            from civitas.plugins import Capabilities, TransportSpec, hookimpl

            class PigeonOptions(BaseModel):
                model_config = ConfigDict(extra="forbid")
                loft: str = Field("home", description="Where the pigeons return to.")

            def make(options, context):
                from carrier_pigeon.transport import PigeonTransport
                return PigeonTransport(options.loft, context)

            @hookimpl
            def civitas_transports():
                yield TransportSpec(
                    name="pigeon",
                    summary="Slow, but crosses machines without a network",
                    factory=make,
                    options=PigeonOptions,
                    capabilities=Capabilities(cross_process=True, cross_machine=True),
                )

        In pyproject.toml:

            [project.entry-points."civitas.v1.transports"]
            pigeon = "carrier_pigeon.plugin"
    """


@hookspec
def civitas_serializers() -> Iterable[SerializerSpec]:  # type: ignore[empty-body]
    """Offer serializers.

    Called once, after the plugin's module has been imported, with no arguments.

    Returns:
        The specs of the serializers in this module. The one whose name equals the entry point's
        name is used.

    Example:
        A serializer with the entry point `cbor = "civitas_cbor.plugin"` in the group
        `civitas.v1.serializers`:

            @hookimpl
            def civitas_serializers():
                yield SerializerSpec(name="cbor", summary="RFC 8949", factory=CborSerializer)
    """


@hookspec
def civitas_instruments() -> Iterable[InstrumentSpec]:  # type: ignore[empty-body]
    """Offer instruments.

    Called once, after the plugin's module has been imported, with no arguments.

    Returns:
        The specs of the instruments in this module. The one whose name equals the entry point's
        name is used. That one is installed switches nothing on: a topology names it.

    Example:
        An instrument with the entry point `census = "civitas_census.plugin"` in the group
        `civitas.v1.instruments`:

            class Census:
                def __init__(self):
                    self.sent = Counter()

                def sending(self, message):
                    self.sent[message.recipient] += 1

            @hookimpl
            def civitas_instruments():
                yield InstrumentSpec(
                    name="census",
                    summary="Counts messages by recipient",
                    factory=lambda options, context: Census(),
                )
    """
