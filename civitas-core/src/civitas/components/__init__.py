"""Components: transport, registry, serializer and instruments of one node, wired together."""

from civitas.components.given import make_named_serializer, serializer_of
from civitas.components.wiring import ComponentSet, build_component_set, components_for, wire

__all__ = [
    "ComponentSet",
    "build_component_set",
    "components_for",
    "make_named_serializer",
    "serializer_of",
    "wire",
]
