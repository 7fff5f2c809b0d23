"""Clean Python environments, and installing into them what was built or downloaded."""

from __future__ import annotations

import json
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from release.commands import plain_environment, run

_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check")


@dataclass(frozen=True)
class Environment:
    """An environment of its own: no system packages, nothing editable, and no pip in it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, interpreter: str | Path = sys.executable) -> Environment:
        """Make an empty one, with this Python by default."""
        if interpreter == sys.executable:
            venv.create(folder, with_pip=False, symlinks=True)
        else:
            run(interpreter, "-m", "venv", "--without-pip", folder)
        return cls(folder)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.command("python")

    def command(self, name: str) -> Path:
        """Return the path of an installed command."""
        return self.folder / "bin" / name

    def install(self, *requirements: str, sources: tuple[Path, ...]) -> None:
        """Install requirements from folders with files of distributions, and from nowhere else.

        Args:
            requirements: requirements or options, as `pip install` takes them.
            sources: the folders.

        Raises:
            CommandError: the folders don't have it all, or versions don't fit each other.
        """
        links = [f"--find-links={folder}" for folder in sources]
        # Python compiles what it imports; compiling all takes longer than installing it.
        self._pip("install", "--quiet", "--no-compile", "--no-index", *links, *requirements)

    def uninstall(self, *names: str) -> None:
        """Uninstall distributions, as `pip uninstall` does it."""
        self._pip("uninstall", "--quiet", "--yes", *names)

    def install_pinned(self, pinned: Path) -> None:
        """Install a pinned set of other projects, by hash, from wherever this machine has it.

        Args:
            pinned: a requirements file with hashes.
        """
        options = ("--require-hashes", "--no-deps", "--quiet", "--no-compile", "-r", pinned)
        run(*_PIP, "--python", self.python, "install", *options)

    def installed(self) -> dict[str, str]:
        """Return the versions of what is installed, by normalised name."""
        rows = json.loads(self._pip("list", "--format=json"))
        return {canonicalize_name(row["name"]): row["version"] for row in rows}

    def check(self) -> None:
        """See that all that is installed has what it says it needs, in versions that it admits.

        Raises:
            CommandError: it has not.
        """
        self._pip("check")

    def run(self, *command: str | Path, cwd: Path) -> str:
        """Run a program in an environment that knows nothing of this one.

        Raises:
            CommandError: its exit code is not 0.
        """
        return run(*command, cwd=cwd, env=plain_environment())

    def _pip(self, *arguments: str) -> str:
        # Isolated: no setting of the machine may add an index or another folder.
        return run(*_PIP, "--isolated", "--python", self.python, *arguments)


def download(pinned: Path, folder: Path) -> Path:
    """Download the wheels of a pinned set, by hash, and return their folder.

    Args:
        pinned: a requirements file with hashes.
        folder: where the wheels go.
    """
    options = ("--require-hashes", "--no-deps", "--only-binary=:all:", "--quiet")
    run(*_PIP, "download", *options, "-r", pinned, "-d", folder)
    return folder
