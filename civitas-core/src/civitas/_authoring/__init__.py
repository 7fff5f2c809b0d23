"""Authoring: what authors of plugins need while they develop: nothing here runs in a system.

- `survey`: which plugins are installed, and what state each of them is in.
- `probe`: loads one plugin in a process of its own, which may hang or die.
- `conformance`: the reports that packages ship, found and judged.
- `scaffold`: the beginning of a plugin package: names, templates, files.
"""
