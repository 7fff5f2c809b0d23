"""Scaffold: the beginning of a plugin package, which works and says what is left to its author."""

from civitas.scaffold.identity import Identity, identify
from civitas.scaffold.placing import place
from civitas.scaffold.rendering import render
from civitas.scaffold.rivals import rivals_of

__all__ = ["Identity", "identify", "place", "render", "rivals_of"]
