"""Overlays: one topology file laid over another."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.errors import Location
from civitas.process import AgentProcess
from civitas.topology import Problem, TopologyError, load_topology
from civitas.topology.overlays import lay_over
from civitas.topology.yaml_nodes import MappingNode, from_mapping, locate, plain
from civitas.topology.yaml_reader import parse

BASE = """\
transport:
  type: pigeon
  loft: roof
  tls: {ca: here.pem, key: mine.pem}
send_timeout: 5
accept_serializers: [json, msgpack]
supervision:
  name: root
  children:
    - agent: {name: greeter, type: app.Greeter, config: {greeting: Hi, tags: [a, b]}}
    - supervisor:
        name: readers
        max_restarts: 5
        children:
          - agent: {name: reader, type: app.Reader, process: gpu}
"""


def tree(text: str, file: str = "base.yaml") -> MappingNode:
    root = parse(textwrap.dedent(text), lambda line: Location(file, line)).root
    assert isinstance(root, MappingNode)
    return root


class Laid:
    """What becomes of a base with an overlay."""

    def __init__(self, overlay: str, base: str = BASE) -> None:
        self.root = tree(base)
        self.notes, self.problems = lay_over(self.root, tree(overlay, "prod.yaml"))
        self.values: Any = plain(self.root)

    @property
    def children(self) -> Any:
        return self.values["supervision"]["children"]

    def problem(self) -> Problem:
        (problem,) = self.problems
        return problem


def test_mappings_are_merged_and_each_value_has_its_own_file_and_line() -> None:
    laid = Laid("transport:\n  loft: cellar\n  tls: {ca: there.pem}\nserializer: json\n")

    assert laid.values["transport"] == {
        "type": "pigeon",
        "loft": "cellar",
        "tls": {"ca": "there.pem", "key": "mine.pem"},
    }
    assert laid.values["serializer"] == "json"
    assert laid.values["send_timeout"] == 5
    assert (laid.notes, laid.problems) == ([], [])
    places = {
        ("transport", "type"): "base.yaml:2",
        ("transport", "loft"): "prod.yaml:2",
        ("transport", "tls", "ca"): "prod.yaml:3",
        ("transport", "tls", "key"): "base.yaml:4",
        ("serializer",): "prod.yaml:4",
    }
    assert {path: str(locate(laid.root, path)) for path in places} == places


def test_a_list_is_replaced_as_a_whole() -> None:
    laid = Laid("""
        accept_serializers: [json]
        supervision:
          children:
            - agent: {name: greeter, config: {tags: [c]}}
    """)

    assert laid.values["accept_serializers"] == ["json"]
    config = laid.children[0]["agent"]["config"]
    assert config == {"greeting": "Hi", "tags": ["c"]}


def test_children_are_merged_by_name_in_their_places() -> None:
    laid = Laid("""
        supervision:
          max_restarts: 9
          children:
            - supervisor:
                name: readers
                children:
                  - agent: {name: reader, mailbox_size: 7}
            - agent: {name: greeter, process: web}
    """)

    greeter, readers = laid.children
    assert greeter["agent"]["type"] == "app.Greeter"
    assert greeter["agent"]["process"] == "web"
    assert readers["supervisor"]["max_restarts"] == 5
    (reader,) = readers["supervisor"]["children"]
    assert reader["agent"] == {
        "name": "reader",
        "type": "app.Reader",
        "process": "gpu",
        "mailbox_size": 7,
    }
    assert laid.values["supervision"]["name"] == "root"
    assert laid.problems == []


def test_an_agent_may_be_written_flat_whatever_is_changed_of_it() -> None:
    laid = Laid("""
        supervision:
          children:
            - {name: greeter, process: web}
            - supervisor:
                name: readers
                children:
                  - {name: reader, mailbox_sise: 7}
    """)

    assert laid.children[0]["agent"]["process"] == "web"
    (reader,) = laid.children[1]["supervisor"]["children"]
    assert reader["agent"]["mailbox_sise"] == 7, "a slip in a key is judged as that of an agent"
    assert laid.problems == []


def test_a_supervisor_is_not_written_flat() -> None:
    child = "{name: readers, max_restarts: 1, children: []}"
    laid = Laid(f"supervision:\n  children:\n    - {child}\n")

    assert laid.children[2] == {"name": "readers", "max_restarts": 1, "children": []}
    assert laid.problems == []


def test_a_new_child_starts_last() -> None:
    laid = Laid("""
        supervision:
          children:
            - agent: {name: meter, type: app.Meter}
            - supervisor: {name: others, children: []}
    """)

    names = [next(iter(child.values()))["name"] for child in laid.children]
    assert names == ["greeter", "readers", "meter", "others"]
    assert laid.problems == []


@pytest.mark.parametrize(
    ("child", "path", "message", "suggestion"),
    [
        (
            "agent: {name: greter, process: web}",
            "supervision.children.greter",
            "there is no agent 'greter' here to change",
            "did you mean 'greeter'?",
        ),
        (
            "agent: {name: zebra}",
            "supervision.children.zebra",
            "there is no agent 'zebra' here to change",
            "a new one needs `type`",
        ),
        (
            "{name: greter, process: web}",
            "supervision.children.greter",
            "there is no agent 'greter' here to change",
            "did you mean 'greeter'?",
        ),
        (
            "supervisor: {name: zebra, max_restarts: 1}",
            "supervision.children.zebra",
            "there is no supervisor 'zebra' here to change",
            "a new one needs `children`",
        ),
        (
            "agent: {name: reader, type: app.Other}",
            "supervision.children.reader",
            "the agent 'reader' stands below 'readers' at base.yaml:15, not here",
            "an overlay names the supervisors above as well",
        ),
    ],
)
def test_a_child_that_is_not_there_is_a_slip(
    child: str, path: str, message: str, suggestion: str
) -> None:
    problem = Laid(f"supervision:\n  children:\n    - {child}\n").problem()

    assert (str(problem.location), problem.path) == ("prod.yaml:3", path)
    assert (problem.message, problem.suggestion) == (message, suggestion)


def test_a_name_that_an_overlay_has_twice_is_left_to_the_rules() -> None:
    child = "    - agent: {name: greeter, process: web}\n"
    laid = Laid(f"supervision:\n  children:\n{child}{child}")

    assert [len(each) for each in laid.children] == [1, 1, 1]
    assert laid.problems == []


def test_nothing_removes_a_key_and_what_is_not_there_can_not_be_removed() -> None:
    laid = Laid("""
        send_timeout:
        transport: {tls: null, lof: null}
        supervision:
          children:
            - supervisor:
                name: readers
                children:
                  - agent: {name: reader, process: null}
    """)

    assert "send_timeout" not in laid.values
    assert laid.values["transport"] == {"type": "pigeon", "loft": "roof"}
    assert "process" not in laid.children[1]["supervisor"]["children"][0]["agent"]
    problem = laid.problem()
    assert str(problem) == (
        "prod.yaml:3: transport.lof: there is no such key to remove (did you mean 'loft'?)"
    )


def test_another_type_replaces_the_block_and_what_was_dropped_is_said() -> None:
    laid = Laid("transport:\n  type: hawk\n  speed: 9\nserializer: json\n")

    assert laid.values["transport"] == {"type": "hawk", "speed": 9}
    assert laid.notes == [
        "prod.yaml:1 replaces the transport block at base.yaml:1 (type pigeon); dropped: loft, tls"
    ]


def test_nothing_is_said_where_another_type_drops_nothing() -> None:
    base = "transport: {type: in_process}\nserializer: msgpack\n"

    laid = Laid("transport: {type: hawk}\nserializer: {type: json, indent: 2}\n", base)

    assert laid.values == {
        "transport": {"type": "hawk"},
        "serializer": {"type": "json", "indent": 2},
    }
    assert laid.notes == []


@pytest.mark.parametrize(
    ("base", "overlay", "merged"),
    [
        ("json", "{indent: 2}", {"type": "json", "indent": 2}),
        ("{type: json, indent: 2}", "json", {"type": "json", "indent": 2}),
        ("{type: json, indent: 2}", "{indent: 3}", {"type": "json", "indent": 3}),
        ("{type: json, indent: 2}", "{type: msgpack}", {"type": "msgpack"}),
    ],
)
def test_the_name_of_a_serializer_is_its_type(base: str, overlay: str, merged: Any) -> None:
    assert Laid(f"serializer: {overlay}", f"serializer: {base}").values["serializer"] == merged


def test_the_same_type_keeps_the_options() -> None:
    laid = Laid("transport: {type: pigeon, loft: cellar}")

    assert laid.values["transport"]["tls"] == {"ca": "here.pem", "key": "mine.pem"}


def test_an_overlay_changes_one_use_of_an_alias_and_not_the_others() -> None:
    base = "a: &x {p: 1}\nb: *x\nc:\n  <<: *x\n"

    assert Laid("b: {p: 2}", base).values == {"a": {"p": 1}, "b": {"p": 2}, "c": {"p": 1}}


_keys = st.sampled_from(["a", "b", "c", "children", "type"])
_values = st.recursive(
    st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2),
    lambda inner: st.dictionaries(_keys, inner, max_size=3),
    max_leaves=12,
)
_mappings = st.dictionaries(_keys, _values, max_size=4)


def merge_patch(target: Any, patch: Any) -> Any:
    """Do what RFC 7396 says, for patches that remove nothing."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        result[key] = merge_patch(result.get(key), value)
    return result


@given(_mappings, _mappings)
def test_where_nothing_has_a_name_an_overlay_is_a_json_merge_patch(
    base: dict[str, Any], overlay: dict[str, Any]
) -> None:
    root, over = from_mapping(base, Location("b")), from_mapping(overlay, Location("o"))
    assert isinstance(root, MappingNode)
    assert isinstance(over, MappingNode)

    assert lay_over(root, over) == ([], [])
    assert plain(root) == merge_patch(base, overlay)


# --- files ---------------------------------------------------------------------------------------

SYSTEM = """\
supervision:
  name: root
  children:
    - agent: {name: a, type: no_module.Agent}
"""


@pytest.fixture
def files(tmp_path: Path) -> Any:
    def load(*overlays: str, base: str = SYSTEM, **arguments: Any) -> Any:
        paths = [tmp_path / name for name in ("topology.yaml", "one.yaml", "two.yaml")]
        for path, text in zip(paths, (base, *overlays), strict=False):
            path.write_text(text)
        given = paths[1 : 1 + len(overlays)]
        return load_topology(
            paths[0], agent_base=AgentProcess, processes=(), overlays=given, **arguments
        )

    return load


def test_each_overlay_is_laid_over_all_before_it(files: Any) -> None:
    loaded = files("send_timeout: 2\nserializer: json\n", "send_timeout: 3\n")

    assert loaded.send_timeout == 3
    assert loaded.serializer.type_name == "json"
    where = {path: (Path(at.file).name, at.line) for path, at in loaded.origins.items()}
    assert where["send_timeout"] == ("two.yaml", 1)
    assert where["serializer"] == ("one.yaml", 2)
    assert where["supervision.children.0.agent.name"] == ("topology.yaml", 4)


def test_problems_of_all_files_are_told_by_file_and_line(files: Any) -> None:
    overlay = "sent_timeout: 3\nsupervision:\n  children:\n    - agent: {name: b}\n  strategi: x\n"
    with pytest.raises(TopologyError) as caught:
        files(overlay, base="serialiser: x\n" + SYSTEM, sets=["nothing=1"])

    places = [(Path(each.location.file).name, each.location.line) for each in caught.value.problems]
    assert places == [
        ("one.yaml", 1),
        ("one.yaml", 4),
        ("one.yaml", 5),
        ("topology.yaml", 1),
        ("--set nothing", None),
    ]


def test_a_variable_of_a_value_that_is_overlaid_need_not_be_set(files: Any) -> None:
    loaded = files("send_timeout: 2", base="send_timeout: ${NO_SUCH_VARIABLE}\n" + SYSTEM)

    assert loaded.send_timeout == 2


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ("- a", "one.yaml:1: a topology is a mapping, not a list"),
        ("a: [", "one.yaml:1: this is not YAML"),
        ("", "one.yaml:1: there is nothing here"),
        ("a: 1\na: 2", "one.yaml:2: the key 'a' stands here already"),
    ],
)
def test_an_overlay_that_can_not_be_read_is_named(files: Any, overlay: str, told: str) -> None:
    with pytest.raises(TopologyError) as caught:
        files(overlay)

    assert told in str(caught.value)


def test_an_overlay_that_changes_nothing_is_an_empty_mapping(files: Any) -> None:
    assert files("{}").send_timeout == 30.0


def test_a_single_overlay_may_be_given_by_its_path_alone(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text(SYSTEM)
    (tmp_path / "o.yaml").write_text("send_timeout: 2")

    loaded = load_topology(
        tmp_path / "topology.yaml",
        agent_base=AgentProcess,
        processes=(),
        overlays=str(tmp_path / "o.yaml"),
    )

    assert loaded.send_timeout == 2
