"""The whole way in a virtual environment: pip installs, the command finds; pip removes."""

from __future__ import annotations

import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest


class Environment:
    """A virtual environment that also sees the packages of the interpreter running the tests."""

    def __init__(self, root: Path) -> None:
        venv.create(root, symlinks=True, with_pip=False)
        self.python = str(root / "bin" / "python")
        purelib = sysconfig.get_path("purelib", vars={"base": str(root)})
        lines = [f"import site; site.addsitedir({folder!r})\n" for folder in site.getsitepackages()]
        Path(purelib, "outer.pth").write_text("".join(lines))

    def pip(self, *args: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", *args]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def civitas(self, *args: str) -> tuple[int, str]:
        program = "from civitas.cli import main; main()"
        done = subprocess.run(
            [self.python, "-P", "-c", program, *args],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_plugin_is_there_after_pip_install_and_gone_after_pip_uninstall(scratch):
    environment = Environment(scratch.root / "venv")
    status, text = environment.civitas("plugins", "show", "pigeon")
    assert (status, "unknown plugin 'pigeon'" in text) == (2, True)
    assert environment.python in text

    environment.pip("install", "--no-deps", "--no-index", str(scratch.wheel()))
    status, text = environment.civitas("plugins", "check", "pigeon")
    assert status == 0
    assert text.startswith("ok             transport pigeon (carrier-pigeon 1.0)\n")

    environment.pip("uninstall", "--yes", "carrier-pigeon")
    assert environment.civitas("plugins", "check", "pigeon")[0] == 2
