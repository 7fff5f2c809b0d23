"""What git knows: whether the tree is clean, which versions are tagged, and how a tag looked."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from packaging.version import InvalidVersion, Version

from release.commands import CommandError, run
from release.workspace import tag_prefix


def changes(root: Path) -> list[str]:
    """Return what is not committed, a line for each file; files that git ignores don't count."""
    return run("git", "status", "--porcelain", cwd=root).splitlines()


def released(root: Path, name: str) -> dict[Version, str]:
    """Return the tag of each version of a distribution that has been released."""
    found = {}
    prefix = tag_prefix(name)
    for tag in run("git", "tag", "--list", f"{prefix}*", cwd=root).splitlines():
        try:
            found[Version(tag.removeprefix(prefix))] = tag
        except InvalidVersion:
            continue  # somebody's own tag, which begins in the same way
    return found


def export(root: Path, tag: str, path: str, target: Path) -> Path:
    """Write a folder of the repository as it was at a tag, and return where it is.

    Args:
        root: the repository.
        tag: the tag.
        path: the folder, from the repository's root.
        target: where to write it.

    Raises:
        CommandError: there is no such tag, or no such folder at it.
    """
    archive = ["git", "archive", "--format=tar", tag, path]
    done = subprocess.run(archive, cwd=root, capture_output=True, check=False)
    if done.returncode != 0:
        raise CommandError(f"{path} can't be had at {tag}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        # Python 3.11.2 has no filters, and later ones warn of their absence.
        files.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        files.extractall(target)
    return target / path
