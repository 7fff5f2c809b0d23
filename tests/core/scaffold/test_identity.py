"""What a new package may be called, and what is said of a name that can't be."""

from __future__ import annotations

import pytest

from civitas._authoring.scaffold import LONGEST_DISTRIBUTION, LONGEST_NAME, identify, rivals_of
from civitas.errors import ConfigurationError
from civitas.plugins.catalog import Candidate, PluginKind

TRANSPORT = PluginKind.TRANSPORT


def names(*args: str) -> tuple[str, str, str]:
    found = identify(TRANSPORT, *args)
    return found.distribution, found.package, found.prefix


def refusal(*args: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        identify(TRANSPORT, *args)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pigeon", ("civitas-pigeon", "civitas_pigeon", "Pigeon")),
        ("carrier_pigeon", ("civitas-carrier-pigeon", "civitas_carrier_pigeon", "CarrierPigeon")),
        ("x1", ("civitas-x1", "civitas_x1", "X1")),
    ],
)
def test_all_names_follow_from_the_plugins_name(name, expected):
    assert names(name) == expected


def test_the_distribution_may_have_a_name_of_its_own():
    assert names("pigeon", "Acme.Pigeon-Post") == ("Acme.Pigeon-Post", "acme_pigeon_post", "Pigeon")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("my-transport", "did you mean 'my_transport'?"),
        ("Pigeon", "did you mean 'pigeon'?"),
        ("1x", "did you mean 'x'?"),
        ("../x", "did you mean 'x'?"),
        ("a__b", "did you mean 'a_b'?"),
        ("_pigeon", "did you mean 'pigeon'?"),
        ("", "can't be the name of a plugin"),
        ("голубь", "can't be the name of a plugin"),
        ("pigeon\n", "did you mean 'pigeon'?"),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}", "can't be the name of a plugin"),
        ("civitas-pigeon:pigeon", "did you mean 'civitas_pigeon_pigeon'?"),
        ("class", "keyword of Python"),
        ("in_process", "comes with civitas-core"),
        ("json", "comes with civitas-core"),
        ("yes", "means True in YAML"),
        ("null", "means None in YAML"),
        ("x" * (LONGEST_NAME + 1), "longer than"),
        ("core", "is a distribution of Civitas"),
    ],
)
def test_a_name_that_can_not_be_is_refused_with_the_reason(name, part):
    assert part in refusal(name)


@pytest.mark.parametrize(
    ("distribution", "part"),
    [
        ("civitas", "is a distribution of Civitas"),
        ("Civitas_Core", "is a distribution of Civitas"),
        ("../pigeon", "can't be the name of a distribution"),
        ("-pigeon", "can't be the name of a distribution"),
        ("pigeon post", "can't be the name of a distribution"),
        ("taubenpöst", "can't be the name of a distribution"),
        ("1x", "'1x', which can't be imported: it is no identifier"),
        ("class", "keyword of Python"),
        ("JSON", "would hide a module of Python's own library"),
        ("tests", "the folder of its tests"),
        ("x" * (LONGEST_DISTRIBUTION + 1), "longer than"),
    ],
)
def test_a_distribution_that_can_not_be_is_refused_with_the_reason(distribution, part):
    assert part in refusal("pigeon", distribution)


def candidate(name: str, distribution: str, kind: PluginKind = TRANSPORT) -> Candidate:
    return Candidate(kind, name, "module", distribution, "1.0", kind.group)


def test_who_offers_the_name_already_is_told_whether_installed_or_known():
    installed = [
        candidate("pigeon", "Acme_Pigeon"),
        candidate("dove", "grey-dove"),
        candidate("pigeon", "pigeon-format", PluginKind.SERIALIZER),
    ]
    assert rivals_of(identify(TRANSPORT, "swan"), installed) == []
    (known,) = rivals_of(identify(TRANSPORT, "nats", "acme-nats"), installed)
    assert known.startswith("civitas-nats offers the transport 'nats' already")
    assert "plugin-conflict" in known
    assert '"acme-nats:nats" or "civitas-nats:nats"' in known
    (taken,) = rivals_of(identify(TRANSPORT, "pigeon", "acme-pigeon"), installed)
    assert "can't be published" in taken
