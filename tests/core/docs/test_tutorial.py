"""The tutorial on transports, from a bare class to a package that topologies and editors know."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from civitas.transport import Transport
from support import pages
from support.pages import DOCS

PAGE = (DOCS / "custom-transport.md").read_text(encoding="utf-8")
INSTALLATION = "```sh\npip install -e ./udp\n```\n"
OWN_PORT = [(r"\b7001\b", str(20_000 + 2 * (os.getpid() % 5_000)))]
"""Tests run side by side: each process has two ports of its own."""

METHODS = [name for name in vars(Transport) if name[0] != "_"]


def bare_class() -> ast.Module:
    (text,) = [block.text for block in pages.blocks(PAGE) if block.title == "recorded.py"]
    return ast.parse(text)


def test_the_table_has_the_methods_of_the_protocol() -> None:
    table = re.findall(r"^\| `(?:async )?(\w+)\((.*?)\)`", PAGE, re.MULTILINE)
    assert [name for name, _ in table] == METHODS
    assert len(METHODS) == 7


def test_the_bare_class_imports_nothing_of_civitas_and_extends_nothing() -> None:
    imported = [
        alias.name
        for node in ast.walk(bare_class())
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert imported == ["asyncio", "itertools"]
    (cls,) = [node for node in bare_class().body if isinstance(node, ast.ClassDef)]
    assert cls.bases == []
    assert set(METHODS) <= {getattr(node, "name", "") for node in cls.body}


def test_the_bare_class_runs_in_a_runtime_and_in_a_worker() -> None:
    users = [block.text for block in pages.blocks(PAGE) if "RecordedTransport(" in block.text]
    assert any("Worker(" in text and "Runtime(" in text for text in users)


@pytest.mark.slow
def test_the_steps_lead_to_a_package_that_conforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = PAGE.split(INSTALLATION)
    (tmp_path / "pytest.ini").write_text(  # as in a project of the reader's own
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    pages.run(before, tmp_path, OWN_PORT)
    package, installed = tmp_path / "udp", tmp_path / "installed"
    pages.write_files(after, tmp_path, OWN_PORT)
    in_place = "--no-deps", "--no-build-isolation", "--quiet"
    command = [sys.executable, "-m", "pip", "install", *in_place, "--target", str(installed)]
    subprocess.run([*command, str(package)], check=True, timeout=100)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    pages.run(after, tmp_path, OWN_PORT)

    report = tmp_path / "conformance.json"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "udp/tests", f"--conformance-report={report}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=100,
    )
    (suite,) = json.loads(report.read_text())["suites"]
    assert suite["conforms"]
    assert set(suite["proved"]) == {"cross_process", "max_message_bytes"}
    assert suite["deviations"] == {}
