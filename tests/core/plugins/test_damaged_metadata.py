"""Metadata that can't be read: the plugin is broken, in which folder, and never "not installed"."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import importlib_metadata
import packaging.version
import pytest

from civitas._authoring.survey import State, survey
from civitas.plugins.catalog import UNREADABLE, Candidate, PluginKind, scan, scan_all
from civitas.plugins.errors import UnusablePluginError
from civitas.plugins.selection import Policy, select

PLUGIN = """
from civitas.plugins import TransportSpec, hookimpl
from civitas.transport import InProcessTransport

@hookimpl
def civitas_transports():
    yield TransportSpec("pigeon", "Slow but sure", lambda _, context: InProcessTransport(context))
"""

NEEDED = (importlib_metadata, packaging.version)
"""What core imports late, and what could not be found on the path of these tests."""

TRANSPORT = PluginKind.TRANSPORT
NAMED = b"Metadata-Version: 2.1\nName: %s\nVersion: 1.0\nRequires-Dist: civitas-core>=0.1\n"
OFFER = b"[civitas.v1.transports]\n%s = %s.plugin\n"
UTF_16 = "[civitas.v1.transports]\npigeon = carrier_pigeon.plugin\n".encode("utf-16")

Lay = Callable[..., Path]


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Lays the metadata of a distribution into a folder of the path."""
    places = [str(tmp_path / each) for each in ("first", "site")]
    monkeypatch.setattr(sys, "path", [*places, *map(sysconfig.get_path, ("stdlib", "platstdlib"))])

    def make(
        name: str = "carrier-pigeon",
        offers: str = "pigeon",
        *,
        site: str = "site",
        folder: str = "",
        metadata: bytes | None = NAMED,
        points: bytes | None = OFFER,
    ) -> Path:
        module = name.replace("-", "_")
        made = tmp_path / site / (folder or f"{module}-1.0.dist-info")
        made.mkdir(parents=True)
        if metadata is not None:
            (made / "METADATA").write_bytes(metadata.replace(b"%s", name.encode()))
        if points is not None:
            filled = points.replace(b"%s", offers.encode(), 1).replace(b"%s", module.encode())
            (made / "entry_points.txt").write_bytes(filled)
        return made

    return make


def problem(name: str) -> tuple[str, str]:
    """Return the code and the problem of a transport that can't be used."""
    with pytest.raises(UnusablePluginError) as caught:
        select(TRANSPORT, name)
    return caught.value.code, caught.value.problem


def state(name: str) -> tuple[State, str]:
    """Return what a list says of a transport."""
    found = survey(TRANSPORT, scan_all(), Policy())
    return next((each.state, each.note) for each in found if each.name == name)


DAMAGE = {
    "points of another encoding": (
        {"points": OFFER + b"# caf\xe9\n"},
        "its entry_points.txt is not UTF-8: invalid continuation byte at byte ",
    ),
    "points in UTF-16": ({"points": UTF_16}, "its entry_points.txt is not UTF-8: "),
    "points with no value": (
        {"points": b"[civitas.v1.transports]\npigeon\n"},
        "its entry_points.txt has no '=' in line 2",
    ),
    "metadata of another encoding": (
        {"metadata": NAMED + b"\ncaf\xe9\n"},
        "its METADATA is not UTF-8: invalid continuation byte at byte ",
    ),
    "empty metadata": ({"metadata": b""}, "its METADATA is empty"),
    "metadata that a disk lost": ({"metadata": b"\0" * 512}, "its METADATA is empty"),
    "no metadata": ({"metadata": None}, "its METADATA is missing"),
    "metadata without a name": ({"metadata": b"Version: 1.0\n"}, "its METADATA gives it no name"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_makes_a_plugin_broken_and_names_the_folder(lay: Lay, case: str) -> None:
    files, reason = DAMAGE[case]
    folder = lay(**files)
    code, text = problem("pigeon")
    assert code == "plugin-broken"
    assert text.startswith(f"transport 'pigeon' of carrier-pigeon 1.0 is broken: {reason}")
    assert text.endswith(f'; remove {folder}, then run: pip install "carrier-pigeon"')
    assert state("pigeon") == (State.BROKEN, text.partition("is broken: ")[2])


LOST = {
    "empty points": {"points": b""},
    "points that a disk lost": {"points": b"\0" * 512},
    "no points": {"points": None},
    "nothing at all": {"points": b"", "metadata": b""},
    "an empty folder": {"points": None, "metadata": None},
    "points of something else": {"points": b"[console_scripts]\nhawk = hawk:main\n"},
}


@pytest.mark.parametrize("case", LOST)
def test_a_known_plugin_that_no_longer_says_its_name_is_broken_and_not_missing(
    lay: Lay, case: str
) -> None:
    folder = lay("civitas-nats", "nats", **LOST[case])
    code, text = problem("nats")
    assert code == "plugin-broken"
    assert text.startswith("transport 'nats' of civitas-nats 1.0 is broken: its ")
    assert str(folder) in text
    assert state("nats")[0] is State.BROKEN
    assert [each.name for each in scan("nats")] == ["nats"]


@pytest.mark.parametrize("content", [b"", b"\0" * 512, "directory"])
def test_a_plugin_whose_name_is_lost_is_listed_and_named_to_who_looks_for_it(
    lay: Lay, content: bytes | str
) -> None:
    folder = lay("acme-hawk", points=None if isinstance(content, str) else content)
    if isinstance(content, str):
        (folder / "entry_points.txt").mkdir()
    code, text = problem("hawk")
    assert code == "plugin-unknown"
    assert "acme-hawk 1.0 may offer it, and is broken: its entry_points.txt " in text
    assert str(folder) in text
    assert "Installed: in_process. " in text
    assert state(UNREADABLE)[0] is State.BROKEN
    assert problem(f"acme-hawk:{UNREADABLE}")[0] == "plugin-broken"


def test_one_warning_is_logged_for_each_however_often_it_is_looked_at(
    lay: Lay, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [
        lay(points=OFFER + b"\xff"),
        lay("civitas-nats", "nats", metadata=b""),
        lay("grey-heron", metadata=NAMED.partition(b"Requires")[0], points=b"\xff"),
    ]
    for _ in range(3):
        scan()
        scan("pigeon")
        scan_all()
    texts = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert sorted(texts) == sorted(set(texts))
    assert [sum(str(folder) in text for text in texts) for folder in folders] == [1, 1, 1]


def test_what_is_no_plugin_is_not_judged(lay: Lay, caplog: pytest.LogCaptureFixture) -> None:
    lay("grey-heron", metadata=b"", points=b"[console_scripts]\nheron = heron:main\n")
    lay("great-tit", metadata=b"\xff", points=None)
    lay("blue-tit", metadata=NAMED, points=b"\n")  # an agents' package, made with setuptools
    lay("sand-martin", metadata=NAMED, points=None)
    lay("coal-tit", metadata=NAMED.partition(b"Requires")[0], points=b"")
    assert scan_all() == []
    assert caplog.records == []


def test_a_sound_plugin_beside_a_damaged_one_is_found(lay: Lay) -> None:
    lay("torn-bird", "torn", points=b"\xff\xfe")
    lay()
    assert select(TRANSPORT, "pigeon").damage == ""


def names(found: list[Candidate]) -> list[tuple[str, str, bool]]:
    return [(each.name, each.version, bool(each.damage)) for each in found]


def test_what_pip_was_about_to_remove_is_passed_over(lay: Lay) -> None:
    lay(folder="~arrier_pigeon-1.0.dist-info")
    assert scan_all() == []


def test_a_sound_copy_counts_before_damaged_ones(lay: Lay) -> None:
    lay(site="first", folder="carrier_pigeon.egg-info", points=None, metadata=None)
    lay(site="site", folder="carrier_pigeon-0.9.dist-info", metadata=b"")
    lay()
    assert names(scan()) == [("pigeon", "1.0", False)]


def test_what_an_earlier_copy_hides_is_broken_with_both_folders(lay: Lay) -> None:
    first = lay(site="first", folder="carrier_pigeon.egg-info", points=None)
    second = lay()
    code, text = problem("pigeon")
    assert code == "plugin-broken"
    assert f"what it offers in {second} is hidden by carrier-pigeon 1.0 in {first}" in text


def test_of_two_versions_in_one_folder_the_latest_counts_and_the_other_is_named(
    lay: Lay, caplog: pytest.LogCaptureFixture
) -> None:
    older = lay(folder="carrier_pigeon-0.10.dist-info", metadata=NAMED.replace(b"1.0", b"0.10"))
    lay(folder="Carrier.Pigeon-0.9.dist-info", metadata=NAMED.replace(b"1.0", b"0.9"))
    lay()
    assert names(scan()) == [("pigeon", "1.0", False)]
    (record,) = caplog.records
    assert "carrier-pigeon is installed twice: 1.0 counts; remove " in record.getMessage()
    assert str(older) in record.getMessage()


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_a_byte_order_mark_and_other_newlines_are_no_damage(lay: Lay, newline: bytes) -> None:
    mark = b"\xef\xbb\xbf"
    lay(metadata=mark + NAMED.replace(b"\n", newline), points=mark + OFFER.replace(b"\n", newline))
    found = select(TRANSPORT, "pigeon")
    assert (found.value, found.version, found.damage) == ("carrier_pigeon.plugin", "1.0", "")
    assert found.core_requirements == ("civitas-core>=0.1",)


def test_a_release_without_a_known_name_is_not_taken_for_missing(lay: Lay) -> None:
    lay("civitas-nats", "nats_classic")
    assert problem("nats") == (
        "plugin-broken",
        "transport 'nats' of civitas-nats 1.0 is broken: this version of it offers no such name",
    )


def test_a_known_plugin_in_a_group_that_nothing_reads_is_not_taken_for_missing(lay: Lay) -> None:
    lay("civitas-nats", "nats", points=OFFER.replace(b"civitas.v1", b"civitas"))
    code, text = problem("nats")
    assert code == "plugin-broken"
    assert "it is in the group 'civitas.transports', which nothing reads" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_not_taken_for_missing(lay: Lay) -> None:
    folder = lay("civitas-nats", "nats")
    for closed in (folder, folder.parent):
        closed.chmod(0)
        try:
            code, text = problem("nats")
        finally:
            closed.chmod(0o700)
        assert code == "plugin-broken"
        assert str(closed) in text


@pytest.mark.slow
def test_what_is_in_an_archive_is_judged_alike(scratch) -> None:
    for name in ("pigeon", "civitas_nats"):
        scratch.lay(name, {"plugin": PLUGIN}, transports=f"{name}.plugin")
    (scratch.site / "civitas_nats-1.0.dist-info/entry_points.txt").write_text("")
    shutil.make_archive(str(scratch.site), "zip", scratch.site)
    results = scratch.load_each("pigeon", "nats", sites=("site.zip",))
    assert results["pigeon"]["loaded"] == "pigeon:pigeon"
    folder = scratch.root / "site.zip/civitas_nats-1.0.dist-info"
    told = f"its entry_points.txt is empty; remove {folder}, then run: "
    assert told in results["nats"]["error"]["problem"]


@pytest.mark.slow
def test_the_command_lists_and_checks_what_is_damaged_and_warns_of_it_once(scratch) -> None:
    for name in ("torn", "whole"):
        scratch.lay(name, {"plugin": ""}, transports=f"{name}.plugin")
    folder = scratch.site / "torn-1.0.dist-info"
    (folder / "METADATA").write_bytes(b"")
    listed = scratch.civitas("list", "--json")
    (row,) = [each for each in json.loads(listed.stdout) if each["name"] == "torn"]
    assert (row["state"], row["distribution"], row["version"]) == ("broken", "torn", "1.0")
    assert f"its METADATA is empty; remove {folder}" in row["note"]
    assert listed.stderr == f"torn 1.0 is broken: {row['note']}\n"
    checked = scratch.civitas("check", "torn")
    assert checked.returncode == 1
    assert checked.stdout.startswith("broken         transport torn\n")
