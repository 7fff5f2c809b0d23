"""Scaffold: a new plugin package that works as it stands and marks what its author has to do."""

from civitas._authoring.scaffold.files import place, render
from civitas._authoring.scaffold.identity import Identity, identify, rivals_of

__all__ = ["Identity", "identify", "place", "render", "rivals_of"]
