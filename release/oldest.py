"""The oldest core that a plugin admits: from a tag, or from this workspace before its release."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from release.building import build
from release.history import export, released
from release.ranges import lower_end
from release.workspace import CORE, Distribution


class OldestError(Exception):
    """There is no telling which core is the oldest, or it is not to be had."""


class Oldest(NamedTuple):
    """The oldest core that a plugin admits.

    Attributes:
        version: its version.
        tag: the tag that it is built from; `None`: it is not released, so it is the workspace's.
    """

    version: Version
    tag: str | None

    def __str__(self) -> str:
        """Say what it is and where it comes from."""
        origin = self.tag or "the workspace's own, as it is not released yet"
        return f"{CORE} {self.version} ({origin})"


def oldest_core(root: Path, plugin: Distribution, core: Distribution) -> Oldest:
    """Find the oldest core that a plugin's range admits.

    Args:
        root: the repository, whose tags are the releases.
        plugin: the plugin.
        core: civitas-core as it is in this workspace.

    Raises:
        OldestError: the range has no lower end, or what it names was never released.
    """
    admitted = plugin.admitted(CORE)
    version = lower_end(admitted) if admitted is not None else None
    if version is None:
        raise OldestError(f"{plugin.name} names no oldest {CORE}: {admitted or 'no range at all'}")
    tags = released(root, CORE)
    tagged = next((each for each in tags if each == version), None)
    if tagged is not None:
        return Oldest(tagged, tags[tagged])
    if version == core.version:
        return Oldest(core.version, None)
    known = ", ".join(map(str, sorted(tags))) or "none"
    raise OldestError(
        f"{plugin.name} admits {CORE} {version}, which was never released (released: {known}; "
        f"here is {core.version}); raise the lower end of its range"
    )


def wheel_of(oldest: Oldest, root: Path, built: Mapping[str, Path], folder: Path) -> Path:
    """Return a wheel of the oldest core, built in a folder if it comes from a tag.

    Args:
        oldest: which core.
        root: the repository.
        built: the wheels of this workspace by distribution.
        folder: where it is built.
    """
    if oldest.tag is None:
        return built[CORE]
    return build(export(root, oldest.tag, CORE, folder / "source"), folder / "dist").wheel
