"""Scaffold: the beginning of a plugin package, which works and says what is left to its author."""

from civitas._authoring.scaffold.identity import Identity, identify
from civitas._authoring.scaffold.placing import place
from civitas._authoring.scaffold.rendering import render
from civitas._authoring.scaffold.rivals import rivals_of

__all__ = ["Identity", "identify", "place", "render", "rivals_of"]
