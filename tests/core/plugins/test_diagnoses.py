"""Each state in which a plugin can't be used, with real distributions."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

pytestmark = pytest.mark.slow

V2_TRANSPORTS = "civitas.v2.transports"
V0_TRANSPORTS = "civitas.v0.transports"
COMMON = ("topology.yaml:7: ", "/bin/python")


def test_a_plugin_of_a_third_party_loads_and_its_bare_class_fits_the_protocol(scratch):
    scratch.install()
    result = scratch.load("pigeon")
    assert (result["error"], result["loaded"]) == (None, "carrier-pigeon:pigeon")


def test_a_mistyped_name_is_unknown_with_a_suggestion_and_all_names(scratch):
    scratch.install()
    error = scratch.load("pigon")["error"]
    assert error["code"] == "plugin-unknown"
    for part in (*COMMON, "did you mean 'pigeon'?", "Installed: in_process, pigeon."):
        assert part in error["text"]
    assert 'nats (pip install "civitas-nats")' in error["text"]


def test_a_name_like_nothing_else_is_unknown_without_a_suggestion(scratch):
    error = scratch.load("semaphore")["error"]
    assert error["code"] == "plugin-unknown"
    assert "did you mean" not in error["text"]


def test_a_suggestion_does_not_mind_capitals(scratch):
    assert "did you mean 'in_process'" in scratch.load("In_Process")["error"]["text"]


def test_a_serializer_asked_for_as_a_transport_is_explained(scratch):
    error = scratch.load("msgpack")["error"]
    assert error["code"] == "plugin-unknown"
    assert "'msgpack' is a serializer" in error["text"]


def test_a_known_name_that_is_not_installed_gives_the_exact_command(scratch):
    error = scratch.load("nats")["error"]
    assert error["code"] == "plugin-not-installed"
    for part in (*COMMON, 'pip install "civitas-nats"'):
        assert part in error["text"]
    assert (error["name"], error["kind"], error["line"]) == ("nats", "transport", 7)


def test_two_distributions_that_offer_one_name_are_a_conflict_until_one_is_chosen(scratch):
    scratch.install("carrier-pigeon", "1.0")
    scratch.install("Postal.Pigeon", "2.5")
    result = scratch.load("pigeon")
    error = result["error"]
    assert error["code"] == "plugin-conflict"
    expected = ("carrier-pigeon 1.0", "Postal.Pigeon 2.5", 'type: "carrier-pigeon:pigeon"')
    for part in (*COMMON, *expected):
        assert part in error["text"]
    assert not {"carrier_pigeon", "postal_pigeon"} & set(result["modules"])
    # The name is compared as packaging tools compare it.
    chosen = scratch.load("postal-pigeon:pigeon")
    assert chosen["loaded"] == "Postal.Pigeon:pigeon"
    assert "carrier_pigeon" not in chosen["modules"]


def test_a_setting_can_decide_a_conflict(scratch):
    scratch.install("carrier-pigeon")
    scratch.install("postal-pigeon")
    chosen = scratch.load("pigeon", CIVITAS_DISABLE_PLUGINS="carrier-pigeon")
    assert chosen["loaded"] == "postal-pigeon:pigeon"


def test_one_distribution_seen_twice_on_the_path_is_no_conflict_and_the_first_counts(scratch):
    scratch.install(version="2.0", site="first")
    scratch.install(version="1.0", site="second")
    both = ("first", "second")
    assert scratch.load("pigeon", sites=both)["loaded"] == "carrier-pigeon:pigeon"
    broken = {"plugin": "raise RuntimeError('second')\n"}
    scratch.install("other-pigeon", "1.0", name="other", site="first")
    scratch.install("other-pigeon", "0.9", name="other", site="second", **broken)
    assert scratch.load("other", sites=both)["error"] is None


def test_what_a_newer_release_no_longer_offers_is_not_taken_from_an_older_one(scratch):
    scratch.install(version="2.0", name="", site="first")
    scratch.install(version="1.0", site="second")
    error = scratch.load("pigeon", sites=("first", "second"))["error"]
    assert error["code"] == "plugin-broken"
    newer, older = (
        scratch.root / each / f"carrier_pigeon-{version}.dist-info"
        for each, version in (("first", "2.0"), ("second", "1.0"))
    )
    told = f"what it offers in {older} is hidden by carrier-pigeon 2.0 in {newer}"
    assert told in error["problem"]


@pytest.mark.parametrize(
    ("group", "version", "upgrade"),
    [(V2_TRANSPORTS, 2, "civitas-core"), (V0_TRANSPORTS, 0, "carrier-pigeon")],
)
def test_a_plugin_for_another_plugin_api_says_what_to_upgrade(scratch, group, version, upgrade):
    scratch.install(group=group)
    result = scratch.load("pigeon")
    error = result["error"]
    assert error["code"] == "plugin-incompatible"
    needs = f"needs plugin API {version}, this civitas-core has 1"
    for part in (*COMMON, "carrier-pigeon 1.0", needs, f'pip install --upgrade "{upgrade}"'):
        assert part in error["text"]
    assert "carrier_pigeon" not in result["modules"]


def test_a_name_that_is_offered_for_two_plugin_apis_is_taken_from_the_one_that_is_here(scratch):
    site = scratch.install()
    points = site / "carrier_pigeon-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + f"\n[{V2_TRANSPORTS}]\npigeon = carrier_pigeon.v2\n")
    assert scratch.load("pigeon")["error"] is None
    listed = json.loads(scratch.civitas("list", "--json").stdout)
    pigeons = [
        (row["state"], row["entry_point"]["value"]) for row in listed if row["name"] == "pigeon"
    ]
    assert pigeons == [("ok", "carrier_pigeon.plugin")]


@pytest.mark.parametrize(
    ("requirement", "needs", "upgrade"),
    [
        ("civitas-core>=7.1,<7.2", ">=7.1,<7.2", "civitas-core>=7.1,<7.2"),
        ("Civitas_Core<0.1", "<0.1", "carrier-pigeon"),
    ],
)
def test_a_plugin_for_other_versions_of_core_says_what_to_upgrade_and_is_not_imported(
    scratch, requirement, needs, upgrade
):
    scratch.install(dependencies=("msgpack", requirement))
    result = scratch.load("pigeon")
    error = result["error"]
    assert error["code"] == "plugin-incompatible"
    reason = f"needs civitas-core{needs}, and civitas-core {version('civitas-core')} is installed"
    for part in (*COMMON, "carrier-pigeon 1.0 " + reason, f'pip install --upgrade "{upgrade}"'):
        assert part in error["text"]
    assert "carrier_pigeon" not in result["modules"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("CIVITAS_DISABLE_PLUGINS", "nothing, pigeon"),
        ("CIVITAS_DISABLE_PLUGINS", "Carrier_Pigeon"),
        ("CIVITAS_DISABLE_PLUGINS", "carrier-pigeon:pigeon"),
        ("CIVITAS_PLUGINS", "dove"),
        ("CIVITAS_PLUGINS", ""),
    ],
)
def test_a_disabled_plugin_names_the_setting_and_is_not_imported(scratch, setting, value):
    scratch.install()
    result = scratch.load("pigeon", **{setting: value})
    error = result["error"]
    assert error["code"] == "plugin-disabled"
    for part in (*COMMON, "carrier-pigeon 1.0", f"{setting} ("):
        assert part in error["text"]
    assert not [module for module in result["modules"] if module.startswith("carrier_pigeon")]


def test_an_allowed_plugin_loads_and_the_allow_list_does_not_touch_built_ins(scratch):
    scratch.install()
    assert scratch.load("pigeon", CIVITAS_PLUGINS="pigeon")["error"] is None
    assert scratch.load("in_process", CIVITAS_PLUGINS="pigeon")["error"] is None
    assert scratch.load("json", kind="serializer", CIVITAS_PLUGINS="")["error"] is None


def test_a_built_in_can_not_be_shadowed(scratch):
    scratch.install(name="in_process", plugin="raise RuntimeError('imported')\n")
    result = scratch.load("in_process")
    assert result["loaded"] == "civitas-core:in_process"
    assert "carrier_pigeon" not in result["modules"]
    refused = scratch.load("carrier-pigeon:in_process")
    assert refused["error"]["code"] == "plugin-conflict"
    assert "is built in and can't be replaced by carrier-pigeon 1.0" in refused["error"]["text"]
    assert "carrier_pigeon" not in refused["modules"]


def test_a_distribution_that_does_not_offer_the_name_is_told_who_does(scratch):
    scratch.install()
    error = scratch.load("homing-pigeon:pigeon")["error"]
    assert error["code"] == "plugin-unknown"
    assert "'pigeon' is offered by carrier-pigeon" in error["text"]


@pytest.mark.parametrize("group", ["civitas.v1.transport", "civitas.transports"])
def test_a_group_that_nothing_reads_is_told_with_the_one_that_is_read(scratch, group):
    scratch.lay("crow", {"plugin": "raise RuntimeError('imported')"}, transports="crow.plugin")
    points = scratch.site / "crow-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[{group}]\ncrow = crow.plugin\nrook = crow.plugin\n")
    told = f"in the group {group!r}, which nothing reads; it is 'civitas.v1.transports'"
    error = scratch.load("crow")["error"]
    assert error["code"] == "plugin-unknown"
    assert f"unknown transport 'crow'. crow 1.0 offers it {told}. Installed: " in error["problem"]
    listed = {row["name"]: row for row in json.loads(scratch.civitas("list", "--json").stdout)}
    assert (listed["rook"]["state"], listed["rook"]["note"]) == ("misplaced", told)
