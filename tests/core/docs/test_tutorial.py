"""The page for authors of transports: its package is built, installed, used, and conforms."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from civitas import errors
from civitas.messages import MAX_NAME_BYTES
from civitas.transport import Transport, Wire
from civitas.transport.network import NetworkTransport
from support import pages
from support.pages import DOCS

PAGE = (DOCS / "custom-transport.md").read_text(encoding="utf-8")
INSTALLATION = "```sh\npip install -e ./post\n```\n"
OWN_PORT = [(r"\b7001\b", str(20_000 + 2 * (os.getpid() % 5_000)))]
"""Tests run side by side: each process has a port of its own."""


def methods(protocol: type) -> dict[str, list[str]]:
    """Return the methods of a protocol with their arguments."""
    return {
        name: [each for each in inspect.signature(value).parameters if each != "self"]
        for name, value in vars(protocol).items()
        if name[0] != "_" and inspect.isfunction(value)
    }


def table(heading: str) -> dict[str, list[str]]:
    """Return the methods in the table below a heading, with their arguments."""
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#)", PAGE + "#", re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(?:async )?(\w+)\((.*?)\)`", section, re.MULTILINE)
    return {name: arguments.split(", ") if arguments else [] for name, arguments in rows}


def test_the_table_of_the_wire_is_the_protocol() -> None:
    assert table("The wire") == methods(Wire)


def test_the_table_of_the_transport_is_the_protocol() -> None:
    assert table("Seven methods") == methods(Transport)
    assert len(methods(Transport)) == 7


def test_the_six_methods_of_a_network_transport_are_those_it_lacks() -> None:
    (section,) = re.findall(r"^### NetworkTransport\n(.*?)^### ", PAGE, re.MULTILINE | re.DOTALL)
    named = re.findall(r"`(\w+)(?:\(.*?\))?`", section.split("A subclass has six methods")[1])
    assert set(named[:7]) - {"publish"} == NetworkTransport.__abstractmethods__


def test_the_errors_of_the_table_exist() -> None:
    section = PAGE.split("\n### Errors\n")[1].split("\n### ")[0]
    named = re.findall(r"^\| `(\w+)`", section, re.MULTILINE)
    assert {"NotConnectedError", "OutcomeUnknownError", "AccessDeniedError"} < set(named)
    assert all(issubclass(getattr(errors, name), errors.CivitasError) for name in named)


def test_the_limit_of_names_is_that_of_core() -> None:
    assert f"1 to {MAX_NAME_BYTES} **bytes** of UTF-8" in PAGE


@pytest.mark.packaging
@pytest.mark.timeout(300)  # the kit alone may take 90 s
def test_the_package_of_the_page_carries_messages_and_conforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert INSTALLATION in PAGE
    (tmp_path / "pytest.ini").write_text(  # as in a project of the reader's own
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    package, installed = tmp_path / "post", tmp_path / "installed"
    pages.write_files(PAGE, tmp_path, OWN_PORT)
    in_place = "--no-deps", "--no-build-isolation", "--quiet"
    command = [sys.executable, "-m", "pip", "install", *in_place, "--target", str(installed)]
    subprocess.run([*command, str(package)], check=True, timeout=100)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    pages.run(PAGE, tmp_path, OWN_PORT)

    report = tmp_path / "conformance.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "post/tests", f"--conformance-report={report}"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    (suite,) = json.loads(report.read_text())["suites"]
    assert suite["conforms"]
    proved = {"cross_process", "survives_broker_restart", "max_message_bytes"}
    assert set(suite["proved"]) == proved
    assert suite["deviations"] == {}
