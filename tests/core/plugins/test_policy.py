"""What the two settings mean."""

from __future__ import annotations

import pytest

from civitas.plugins.catalog import Candidate, PluginKind, builtin
from civitas.plugins.selection import Policy

PIGEON = Candidate(
    PluginKind.TRANSPORT,
    "pigeon",
    "carrier_pigeon.plugin",
    "carrier-pigeon",
    "1.0",
    "civitas.v1.transports",
)
IN_PROCESS = builtin(PluginKind.TRANSPORT, "in_process")


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({}, None),
        ({"CIVITAS_PLUGINS": "pigeon"}, None),
        ({"CIVITAS_PLUGINS": "dove, carrier_pigeon"}, None),
        ({"CIVITAS_PLUGINS": "carrier-pigeon:pigeon"}, None),
        ({"CIVITAS_PLUGINS": "postal-pigeon:pigeon"}, "CIVITAS_PLUGINS"),
        ({"CIVITAS_PLUGINS": ""}, "CIVITAS_PLUGINS"),
        ({"CIVITAS_PLUGINS": "PIGEON"}, "CIVITAS_PLUGINS"),
        ({"CIVITAS_DISABLE_PLUGINS": ""}, None),
        ({"CIVITAS_DISABLE_PLUGINS": "dove,,"}, None),
        ({"CIVITAS_DISABLE_PLUGINS": "Carrier.Pigeon"}, "CIVITAS_DISABLE_PLUGINS"),
        (
            {"CIVITAS_PLUGINS": "pigeon", "CIVITAS_DISABLE_PLUGINS": "pigeon"},
            "CIVITAS_DISABLE_PLUGINS",
        ),
    ],
)
def test_the_settings_decide_before_any_import(settings, setting):
    objection = Policy.from_environment(settings).objection(PIGEON)
    assert (objection and objection.split(" ")[0]) == setting


def test_a_built_in_is_never_excluded_but_can_be_disabled_by_name():
    assert Policy(allowed=()).objection(IN_PROCESS) is None
    assert "CIVITAS_DISABLE_PLUGINS" in Policy(denied=("in_process",)).objection(IN_PROCESS)


def test_entries_that_fit_nothing_are_told():
    policy = Policy(allowed=("pigeon", "pigoen"), denied=("a:b:c", "carrier-pigeon"))
    assert policy.idle_entries([PIGEON]) == [
        ("CIVITAS_PLUGINS", "pigoen"),
        ("CIVITAS_DISABLE_PLUGINS", "a:b:c"),
    ]


def test_an_empty_allow_list_is_told_as_what_it_allows():
    assert Policy(allowed=()).objection(PIGEON) == "CIVITAS_PLUGINS (it allows the built-ins alone)"
    told = Policy(allowed=("dove", "swan")).objection(PIGEON)
    assert told == "CIVITAS_PLUGINS (it allows 'dove', 'swan' and the built-ins)"
