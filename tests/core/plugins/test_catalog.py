"""Reading metadata: what is found, and that nothing is imported or scanned needlessly."""

from __future__ import annotations

import json

import pytest

from civitas.plugins.catalog import PluginKind, Reference, builtins, known_distributions
from civitas.plugins.metadata import normalise

SCAN = """
import json, sys
from civitas.plugins.catalog import scan
found = [[c.kind.value, c.name, c.distribution, c.version, c.api_version] for c in scan()]
print(json.dumps({"found": found, "modules": sorted(sys.modules)}))
"""


def test_a_scan_finds_all_kinds_and_versions_sorted_and_imports_none(scratch):
    scratch.install("zebra-pigeon", name="zebra")
    scratch.install("Alpine.Pigeon", "0.3", name="alpine", group="civitas.v1.serializers")
    scratch.install("carrier-pigeon", group="civitas.v2.transports")
    scratch.install("other-bird", group="civitas.v1.lofts", name="loft")
    result = scratch.python(SCAN)
    assert result["found"] == [
        ["serializer", "alpine", "Alpine.Pigeon", "0.3", 1],
        ["transport", "pigeon", "carrier-pigeon", "1.0", 2],
        ["transport", "zebra", "zebra-pigeon", "1.0", 1],
    ]
    assert not [module for module in result["modules"] if "pigeon" in module]


def test_a_distribution_without_a_version_has_that_of_its_folder_and_hides_nothing(scratch):
    scratch.install()
    site = scratch.install("torn-bird", name="torn")
    metadata = site / "torn_bird-1.0.dist-info" / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: torn-bird\n")
    result = scratch.python(SCAN)
    assert [each[1:4] for each in result["found"]] == [
        ["pigeon", "carrier-pigeon", "1.0"],
        ["torn", "torn-bird", "1.0"],
    ]


def test_a_folder_that_has_another_name_than_its_metadata_hides_nothing(scratch):
    scratch.install("zebra-pigeon", name="zebra", site="first")
    site = scratch.install()
    (site / "carrier_pigeon-1.0.dist-info").rename(site / "renamed-1.0.dist-info")
    found = scratch.python(SCAN, sites=("first", "site"))["found"]
    assert [each[2] for each in found] == ["carrier-pigeon", "zebra-pigeon"]


def test_the_readme_that_follows_the_metadata_is_not_taken_for_it(scratch):
    site = scratch.install()
    metadata = site / "carrier_pigeon-1.0.dist-info" / "METADATA"
    readme = "\n\nName: dove\nVersion: 9\nRequires-Dist: civitas-core>=9\n"
    metadata.write_text(metadata.read_text() + readme)
    assert scratch.python(SCAN)["found"] == [["transport", "pigeon", "carrier-pigeon", "1.0", 1]]
    assert scratch.load("pigeon")["error"] is None


def test_metadata_of_older_tools_is_found(scratch):
    site = scratch.install()
    folder = site / "carrier_pigeon-1.0.dist-info"
    (folder / "METADATA").rename(folder / "PKG-INFO")
    folder.rename(site / "carrier_pigeon.egg-info")
    assert scratch.python(SCAN)["found"] == [["transport", "pigeon", "carrier-pigeon", "1.0", 1]]


def test_a_built_in_name_never_scans_metadata(scratch):
    program = """
import json, sys

class Finder:
    scans = 0

    @classmethod
    def find_spec(cls, *args):
        return None

    @classmethod
    def find_distributions(cls, *args):
        cls.scans += 1
        return []

sys.meta_path.insert(0, Finder)
from civitas.plugins.loader import load_serializer, load_transport
load_transport("in_process"), load_serializer("json"), load_serializer("civitas-core:msgpack")
before = Finder.scans
try:
    load_transport("pigeon")
except Exception as error:
    print(json.dumps([before, Finder.scans > 0, error.code]))
"""
    assert scratch.python(program) == [0, True, "plugin-unknown"]


@pytest.mark.parametrize("module", ["civitas.plugins", "civitas.plugins.loader"])
def test_importing_what_authors_need_stays_light(scratch, module):
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    assert not {"pydantic", "typer", "rich"} & set(scratch.python(program))


def test_loading_the_built_ins_imports_no_pydantic(scratch):
    modules = scratch.load("in_process")["modules"]
    assert not {"pydantic", "typer", "rich"} & set(modules)


def test_built_ins_have_the_names_of_the_design():
    names = {kind: [each.name for each in builtins(kind)] for kind in PluginKind}
    assert names == {
        PluginKind.TRANSPORT: ["in_process"],
        PluginKind.SERIALIZER: ["json", "msgpack"],
        PluginKind.INSTRUMENT: ["log"],
    }


@pytest.mark.parametrize("kind", PluginKind)
def test_every_built_in_loads_through_the_hooks(scratch, kind):
    for built_in in builtins(kind):
        assert scratch.load(built_in.name, kind=kind.value)["error"] is None


@pytest.mark.parametrize("name", ["Carrier.Pigeon", "carrier_pigeon", "carrier--pigeon"])
def test_distribution_names_are_compared_normalised(name):
    assert normalise(name) == "carrier-pigeon"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pigeon", Reference("pigeon")),
        ("carrier-pigeon:pigeon", Reference("pigeon", "carrier-pigeon")),
        (" carrier-pigeon : pigeon ", Reference("pigeon", "carrier-pigeon")),
        (":pigeon", Reference("pigeon", "")),
        ("", Reference("")),
    ],
)
def test_a_reference_is_a_name_or_a_distribution_and_a_name(text, expected):
    assert Reference.parse(text) == expected


def test_the_table_of_known_plugins_is_sorted_and_has_both_kinds():
    tables = {kind: known_distributions(kind) for kind in PluginKind}
    assert json.dumps(tables[PluginKind.TRANSPORT]) == json.dumps(
        dict(sorted(tables[PluginKind.TRANSPORT].items()))
    )
    assert set(tables) == set(PluginKind)
