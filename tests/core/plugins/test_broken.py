"""What is said, to the letter, of plugins that are broken in every way we know of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support import broken_plugins
from support.broken_plugins import GIVES, MISFITS, RAISES, SPECS, VALUES

MALFORMED = {
    name: (source, f"its TransportSpec is malformed: {cause}")
    for name, (source, cause) in SPECS.items()
}
BROKEN = {**RAISES, **GIVES, **MALFORMED, **MISFITS}
UNIMPORTABLE = {f"value_{number}": value for number, value in enumerate(VALUES)}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, make_scratch: Any) -> Any:
    """A scratch environment with all of these plugins."""
    scratch = make_scratch(tmp_path_factory.mktemp("yard"))
    for name, (source, _) in BROKEN.items():
        scratch.lay(name, {"plugin": source}, transports=f"{name}.plugin")
    for name, value in UNIMPORTABLE.items():
        scratch.lay(name, {}, transports=value)
    return scratch


@pytest.fixture(scope="module")
def told(yard: Any) -> Any:
    """What came of loading and making each of them, one after the other in one process."""
    return yard.load_each(*BROKEN, *UNIMPORTABLE)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_told_with_its_cause_and_its_line(yard, told, name):
    file = yard.site / name / "plugin.py"
    cause = BROKEN[name][1].replace("FILE", str(file)).replace("JSON", json.__file__)
    error = told[name]["error"]
    assert error["problem"] == f"transport '{name}' of {name} 1.0 is broken: {cause}"
    assert (error["code"], error["file"], error["line"]) == ("plugin-broken", "topology.yaml", 7)
    assert error["text"] == (
        f"topology.yaml:7: {error['problem']} [plugin-broken; Python: {yard.interpreter}]"
    )


@pytest.mark.parametrize("name", UNIMPORTABLE)
def test_an_entry_point_whose_value_names_no_module_is_told(told, name):
    assert told[name]["error"]["problem"] == (
        f"transport '{name}' of {name} 1.0 is broken: its entry point's value is "
        f"{UNIMPORTABLE[name]!r}, not `module` or `module:object`"
    )


def test_a_module_or_an_object_that_is_not_there_is_told(scratch):
    for name, value in {"nest": "nest.twigs", "egg": "egg.plugin:yolk"}.items():
        scratch.lay(name, {"plugin": broken_plugins.plugin()}, transports=value)
    nest, egg = scratch.load_each("nest", "egg").values()
    assert nest["error"]["problem"].endswith(
        "broken: its entry point names 'nest.twigs', and there is no module 'nest.twigs' "
        "(ModuleNotFoundError: No module named 'nest.twigs')"
    )
    assert egg["error"]["problem"].endswith(
        "broken: AttributeError: module 'egg.plugin' has no attribute 'yolk'"
    )


def test_a_serializer_factory_that_wants_arguments_is_told(scratch):
    hook = (
        "def civitas_serializers():\n    return [SerializerSpec('crow', 'Caws', lambda level: 0)]"
    )
    source = f"from civitas.plugins import SerializerSpec, hookimpl\n@hookimpl\n{hook}\n"
    scratch.lay("crow", {"plugin": source}, serializers="crow.plugin")
    assert scratch.load("crow", kind="serializer")["error"]["problem"].endswith(
        "broken: its SerializerSpec is malformed: factory is called without arguments; "
        "it takes (level), missing a required argument: 'level'"
    )


NAMELESS = {
    "": "the name of its entry point is empty",
    "two words": "the name of its entry point, 'two words', has white space",
    "a:b": "the name of its entry point, 'a:b', has a colon",
}


@pytest.mark.slow
def test_a_name_that_no_topology_can_say_is_broken_and_others_are_not(scratch):
    scratch.lay("crow", {"plugin": broken_plugins.plugin()}, transports="crow.plugin")
    legal = ("Crow", "crow-2", "crow_2", "crow.2")
    points = "".join(f"{name} = crow.plugin\n" for name in (*NAMELESS, *legal))
    (scratch.site / "crow-1.0.dist-info" / "entry_points.txt").write_text(
        f"[civitas.v1.transports]\n{points}"
    )
    listed = json.loads(scratch.civitas("list", "--json").stdout)
    states = {row["name"]: (row["state"], row["note"]) for row in listed}
    checked = json.loads(scratch.civitas("check", "--json").stdout)
    verdicts = {row["name"]: row["error"] and row["error"]["problem"] for row in checked}
    for name, cause in NAMELESS.items():
        assert states[name] == ("broken", f"{cause}; a topology can't name it")
        expected = f"transport {name!r} of crow 1.0 is broken: {cause}; a topology can't name it"
        assert verdicts[name] == expected
    assert {states[name] for name in legal} == {("ok", "")}
    installed = scratch.load("rook")["error"]["problem"].partition("Installed: ")[2]
    assert installed.startswith("in_process, Crow, crow-2, crow.2, crow_2.")
