"""The distribution `civitas` of another project, in one environment with ours."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from release.commands import CommandError
from release.environment import Environment

Prepare = Callable[..., Environment]

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

MODULES = {
    "__init__": "from civitas.bus import MessageBus",
    "bus": "from civitas import errors, messages\nfrom civitas.serializer import Serializer",
    "cli/__init__": "def main(): print('the other')",
    "config": "",
    "errors": "class CivitasError(Exception): pass",
    "messages": "",
    "observability/__init__": "",
    "serializer": "class Serializer: pass",
}
"""What it shares with ours, and what not, in little: `MessageBus` is where its import ends."""
INFO = "civitas-0.12.0.dist-info"


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the other project, as far as it matters here."""
    files = {f"civitas/{name}.py": text for name, text in MODULES.items()}
    files |= {
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: civitas\nVersion: 0.12.0\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": "[console_scripts]\ncivitas = civitas.cli:main\n",
    }
    files[f"{INFO}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{INFO}/RECORD"))
    wheel = tmp_path_factory.mktemp("other") / "civitas-0.12.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


@pytest.mark.parametrize("last", ["the other", "ours"])
def test_a_mixture_of_both_says_what_happened_and_what_it_says_mends_it(
    prepare: Prepare, other: Path, tmp_path: Path, last: str
) -> None:
    order = ["civitas-core", str(other)]
    if last == "ours":
        order.reverse()
    environment = prepare(order[0])
    prepare(order[1], into=environment)
    for command in (
        (environment.command("civitas"), "version"),
        (environment.python, "-c", "import civitas.testing"),
    ):
        with pytest.raises(CommandError) as refused:
            environment.run(*command, cwd=tmp_path)
        for part in (
            "has files of two distributions: of civitas-core, and of civitas 0.12.0",
            f"{environment.python} -m pip uninstall civitas civitas-core",
            f"{environment.python} -m pip install civitas-core",
        ):
            assert part in str(refused.value)
    environment.uninstall("civitas", "civitas-core")
    prepare("civitas-core", into=environment)
    told = environment.run(environment.command("civitas"), "version", cwd=tmp_path)
    assert told.startswith("civitas-core ")
