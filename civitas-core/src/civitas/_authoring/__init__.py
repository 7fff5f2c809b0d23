"""Authoring: what authors of plugins need while they develop."""
