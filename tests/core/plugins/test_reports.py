"""What a plugin's shipped report proves: found without an import, and told by `plugins list`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from civitas._authoring.conformance import proof_of
from civitas._authoring.conformance import unproved as said_unproved
from civitas.plugins.catalog import Candidate, PluginKind

REPOSITORY = Path(__file__).parents[3]
LEVEL = "transport conformance 1.0"


def suite(**changes):
    told = {
        "kind": "transport",
        "plugin": "pigeon",
        "variant": "",
        "version": "1.0",
        "level": LEVEL,
        "proved": ["cross_process"],
        "not_passed": {},
    }
    return {**told, **changes}


def report(*suites, **changes):
    return json.dumps({"format": 1, "core": "0.1.0", "suites": list(suites), **changes})


def candidate(value="carrier_pigeon.plugin", version="1.0"):
    group = PluginKind.TRANSPORT.group
    return Candidate(PluginKind.TRANSPORT, "pigeon", value, "carrier-pigeon", version, group)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that can be found, and that raises when it is imported."""
    folder = tmp_path / "carrier_pigeon"
    (folder / "inner").mkdir(parents=True)
    for each in (folder, folder / "inner"):
        (each / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    assert not [name for name in sys.modules if name.startswith("carrier_pigeon")]


@pytest.mark.parametrize(
    "value", ["carrier_pigeon", "carrier_pigeon.plugin:it", "carrier_pigeon.inner.x"]
)
def test_the_report_is_found_in_the_package_of_the_entry_point_or_above(package, value):
    (package / "conformance.json").write_text(report(suite()))
    proof = proof_of(candidate(value))
    assert (proof.level, proof.proved, proof.core) == (LEVEL, ("cross_process",), "0.1.0")
    assert str(proof) == "1.0 cross_process"


def test_the_nearest_report_counts(package):
    (package / "conformance.json").write_text(report(suite()))
    (package / "inner" / "conformance.json").write_text(report(suite(proved=[])))
    assert proof_of(candidate("carrier_pigeon.inner.plugin")).proved == ()


@pytest.mark.parametrize("value", ["carrier_pigeon", "no_such_package.plugin", "sys", ""])
def test_without_a_report_there_is_no_proof(package, value):
    assert proof_of(candidate(value)) is None


def test_a_report_about_others_is_no_proof(package):
    others = (suite(plugin="dove"), suite(kind="serializer"), suite(plugin=None))
    (package / "conformance.json").write_text(report(*others))
    assert proof_of(candidate()) is None


def test_what_only_an_option_proves_is_told_with_it(package):
    option = suite(variant="nest: true", proved=["cross_process", "at_least_once"])
    (package / "conformance.json").write_text(report(suite(), option))
    proof = proof_of(candidate())
    assert proof.with_option == {"nest: true": ("at_least_once",)}
    assert str(proof) == "1.0 cross_process at_least_once (nest: true)"


def test_what_did_not_pass_and_another_version_are_told(package):
    failing = suite(version="0.9", not_passed={"test_a": "deviation", "test_b": "failed"})
    (package / "conformance.json").write_text(report(failing))
    expected = "1.0 (2 not passed) cross_process [of version 0.9, installed is 1.0]"
    assert str(proof_of(candidate())) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError: 'format'"),
        (report(suites=[{}]), "KeyError: 'kind'"),
        (report(suite(proved=7)), "TypeError"),
        (report(format=2), "has format 2, this core reads 1"),
        ("\udcff", "can't be read"),
    ],
)
def test_a_report_that_can_not_be_read_is_told_as_such(package, text, problem):
    file = package / "conformance.json"
    file.write_text(text, errors="surrogateescape")
    proof = proof_of(candidate())
    assert problem in proof.problem
    assert (proof.level, proof.proved) == ("", ())


@pytest.mark.slow
def test_list_and_show_tell_what_is_proved_and_import_nothing_for_it(scratch):
    site = scratch.install()
    (site / "carrier_pigeon" / "conformance.json").write_text(report(suite()))
    done = scratch.civitas("list", "--json")
    [row] = [each for each in json.loads(done.stdout) if each["name"] == "pigeon"]
    assert row["conformance"]["level"] == LEVEL
    assert row["conformance"]["proved"] == ["cross_process"]
    table = scratch.civitas("list").stdout
    [line] = [line for line in table.splitlines() if " pigeon " in line]
    assert line.split()[4:] == ["1.0", "1.0", "cross_process"]
    assert "conformance   1.0 cross_process" in scratch.civitas("show", "pigeon").stdout


DEPENDS = """
from civitas.plugins import Capabilities, TransportSpec, hookimpl
from civitas.transport import InProcessTransport
from pydantic import BaseModel, ConfigDict, Field

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keep: bool = Field(True, description="Whether to keep what nobody has read.")

def claims(options):
    return Capabilities(cross_process=True, cross_machine=True, at_least_once=options.keep)

@hookimpl
def civitas_transports():
    make = lambda options, context: InProcessTransport(context)
    yield TransportSpec("pigeon", "Flies", make, Options, claims)
"""


@pytest.mark.slow
def test_claims_that_depend_on_options_are_shown_with_the_defaults_and_held_against_the_report(
    scratch,
):
    scratch.lay("pigeon", {"plugin": DEPENDS}, transports="pigeon.plugin")
    file = scratch.site / "pigeon" / "conformance.json"
    shown = json.loads(scratch.civitas("show", "pigeon", "--json").stdout)
    assert shown["capabilities"] is None
    assert shown["default_capabilities"]["at_least_once"] is True
    line = "capabilities  cross_process, cross_machine, at_least_once with the default options"
    assert line in scratch.civitas("show", "pigeon").stdout.splitlines()

    file.write_text(report(suite()))
    claim = "it claims at_least_once{}; its conformance report does not prove it"
    assert unproved(scratch) == [claim.format(" with the default options")]
    file.write_text(report(suite(), suite(variant="keep: true", proved=["at_least_once"])))
    assert unproved(scratch) == []
    file.write_text("{")
    assert "conformance.json can't be read" in unproved(scratch)[0]
    file.write_text(report(suite()))
    source = scratch.site / "pigeon" / "plugin.py"
    source.write_text(DEPENDS.replace("Field(True,", "Field(").replace("claims)", "claims(Keep))"))
    with source.open("a") as plugin:
        plugin.write("\nclass Keep:\n    keep = True\n")
    assert unproved(scratch) == [claim.format("")]
    assert verdict(scratch)["advice"] == [
        "not made: some options have no default, so its methods are unchecked"
    ]


@pytest.mark.slow
def test_check_shows_what_is_unproved_and_fails_for_it_when_it_is_strict(scratch):
    site = scratch.install()
    file = site / "carrier_pigeon" / "conformance.json"
    line = "unproved: nothing is proved: its package has no conformance.json"
    done = scratch.civitas("check", "pigeon")
    assert (done.returncode, line in done.stdout) == (0, True)
    assert scratch.civitas("check", "pigeon", "--strict").returncode == 1
    file.write_text(report(suite()))
    done = scratch.civitas("check", "pigeon", "--strict")
    assert (done.returncode, "unproved" in done.stdout) == (0, False)


def test_what_did_not_run_or_pass_is_unproved(package):
    part = suite(
        version="0.9",
        not_passed={"test_a": "failed"},
        proved_in_part={"cross_process": ["test_b", "test_c"]},
        passed=["test_c"],
    )
    (package / "conformance.json").write_text(report(part))
    assert said_unproved(proof_of(candidate()), ["cross_process", "cross_machine"]) == [
        "what is installed: its report is of version 0.9, installed is 1.0",
        "transport conformance 1.0: 1 of its tests did not pass",
        "cross_process, all of it: test_b did not run",
    ]


def unproved(scratch):
    return verdict(scratch)["unproved"]


def verdict(scratch):
    [found] = json.loads(scratch.civitas("check", "pigeon", "--json").stdout)
    assert found["error"] is None
    return found


# --- the reports of this project ------------------------------------------------------------------

SHIPPED = sorted(REPOSITORY.glob("civitas-*/src/*/conformance.json"))


def test_every_package_with_plugins_ships_a_report():
    assert {file.parent.name for file in SHIPPED} == {
        path.parent.name for path in REPOSITORY.glob("civitas-*/src/*/py.typed")
    }


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.name)
def test_a_shipped_report_is_of_this_kit_and_of_this_version(file):
    from importlib.metadata import version

    from civitas.testing import (
        InstrumentConformance,
        SerializerConformance,
        TransportConformance,
    )

    classes = (TransportConformance, SerializerConformance, InstrumentConformance)
    kits = {each.kind: each for each in classes}
    found = json.loads(file.read_text())
    assert found["core"] == version("civitas-core")
    for each in found["suites"]:
        kit = kits[each["kind"]]
        tests = [*each["passed"], *each["not_in_the_list"]]
        assert sorted(tests) == sorted(kit.standard), "run `make conformance`"
        assert (each["level"], each["conforms"]) == (kit.level, True)
        assert each["version"] == version(each["distribution"])
