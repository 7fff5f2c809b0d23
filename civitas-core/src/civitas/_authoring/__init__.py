"""Authoring: what authors of plugins and of systems need; nothing here runs in a system.

- `survey`: which plugins are installed, and what state each of them is in.
- `probe`: loads one plugin in a process of its own, which may hang or die.
- `conformance`: the reports that packages ship, found and judged.
- `scaffold`: the beginning of a plugin package: names and files.
- `application`: the beginning of a system of agents, likewise.
- `rendering`: makes files from templates, for both.
- `placing`: writes such a folder whole or not at all.
"""
