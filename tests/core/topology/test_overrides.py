"""`--transport` and `--set`."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.errors import Location
from civitas.topology.overrides import apply_sets, replace_transport
from civitas.topology.yaml_nodes import MappingNode, dotted, locate, plain
from civitas.topology.yaml_reader import parse

TEXT = """
transport:
  type: pigeon
  loft: roof
  password: hunter2
supervision:
  name: root
  children:
    - agent: {name: greeter, type: app.Greeter}
    - supervisor:
        name: readers
        children:
          - agent:
              name: reader
              type: app.Reader
              config:
"""


def tree(text: str = TEXT) -> MappingNode:
    root = parse(text, lambda line: Location("t.yaml", line)).root
    assert isinstance(root, MappingNode)
    return root


def greeter(root: MappingNode) -> Any:
    return plain(root)["supervision"]["children"][0]["agent"]


def reader(root: MappingNode) -> Any:
    return plain(root)["supervision"]["children"][1]["supervisor"]["children"][0]["agent"]


def test_transport_replaces_the_whole_block_and_says_what_it_dropped() -> None:
    root = tree()

    note = replace_transport(root, "in_process")

    assert plain(root)["transport"] == {"type": "in_process"}
    assert note == (
        "--transport in_process replaces the transport block at t.yaml:2 (type pigeon); "
        "dropped: loft, password"
    )
    assert str(locate(root, ("transport", "type"))) == "--transport"


def test_transport_without_a_block_drops_nothing() -> None:
    root = tree("supervision: {}")

    assert replace_transport(root, "in_process") is None
    assert plain(root)["transport"] == {"type": "in_process"}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("5", 5),
        ("'5'", "5"),
        ("true", True),
        ("a=b", "a=b"),
        ("", ""),
        ("[1, {x: y}]", [1, {"x": "y"}]),
        ("null", None),
    ],
)
def test_a_value_is_yaml(given: str, value: Any) -> None:
    root = tree()

    assert apply_sets(root, [f"supervision.anything={given}"]) == []
    assert plain(root)["supervision"]["anything"] == value


@pytest.mark.parametrize(
    "path",
    [
        "supervision.children.0.agent.mailbox_size",
        "supervision.children.greeter.mailbox_size",
    ],
)
def test_a_child_is_addressed_by_index_or_by_name(path: str) -> None:
    root = tree()

    assert apply_sets(root, [f"{path}=7"]) == []
    assert greeter(root)["mailbox_size"] == 7


def test_a_child_of_a_child_is_addressed_by_names() -> None:
    root = tree()

    assert apply_sets(root, ["supervision.children.readers.children.reader.type=app.Other"]) == []
    assert reader(root)["type"] == "app.Other"


DOTTED = """
supervision:
  name: root
  children:
    - agent: {name: workers, type: app.Worker, config: {eu: {}}}
    - agent: {name: workers.eu, type: app.Worker, config: {folder.size: 1}}
    - agent: {name: a=2Eb, type: app.Worker}
"""


@pytest.mark.parametrize(
    ("given", "index"),
    [
        (r"supervision.children.workers\.eu.mailbox_size=7", 1),
        ("supervision.children.workers.mailbox_size=7", 0),
        (r"supervision.children.a\=2Eb.mailbox_size=7", 2),
    ],
)
def test_a_backslash_takes_the_meaning_from_a_dot_and_an_equals_sign(
    given: str, index: int
) -> None:
    root = tree(DOTTED)

    assert apply_sets(root, [given]) == []
    children = plain(root)["supervision"]["children"]
    assert [n for n, child in enumerate(children) if "mailbox_size" in child["agent"]] == [index]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (r"a\.b", "a.b"),
        (r"a\\.b", ("a\\", "b")),
        (r"a\\\.b", "a\\.b"),
        (r"a\b", r"a\b"),
    ],
)
def test_two_backslashes_are_one_and_before_anything_else_one_is_itself(
    path: str, key: str | tuple[str, str]
) -> None:
    root = tree("{}")

    assert apply_sets(root, [f"{path}=5"]) == []
    assert plain(root) == ({key: 5} if isinstance(key, str) else {key[0]: {key[1]: 5}})


def test_the_path_in_a_report_can_be_given_to_set() -> None:
    root = tree(DOTTED)
    keys = ("supervision", "children", 1, "agent", "config", "folder.size")
    other = ("a.b", "a=b", "a\\", "\\.")

    sets = [f"{dotted(keys)}=7", f"{dotted(other)}=8"]

    assert apply_sets(root, sets) == []
    values = plain(root)
    assert values["supervision"]["children"][1]["agent"]["config"] == {"folder.size": 7}
    assert values["a.b"] == {"a=b": {"a\\": {"\\.": 8}}}


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ('"a.b"', ("a.b",)),
        ("'a.b'.c", ("a.b", "c")),
        ("x.'a=b'.y", ("x", "a=b", "y")),
        ('"it\'s"', ("it's",)),
        ("it's.b", ("it's", "b")),
        ('"a b" ', ("a b",)),
        (" a b ", ("a b",)),
        (r"\"a", ('"a',)),
        (r"'a\b'", (r"a\b",)),
    ],
)
def test_quotes_hold_a_key_together(path: str, keys: tuple[str, ...]) -> None:
    root = tree("{}")

    assert apply_sets(root, [f"{path}=5"]) == []
    expected: Any = 5
    for key in reversed(keys):
        expected = {key: expected}
    assert plain(root) == expected


def test_a_child_whose_name_has_brackets_is_addressed_by_it() -> None:
    root = tree("supervision: {children: [{agent: {name: 'a[0]'}}]}")

    assert apply_sets(root, ["supervision.children.a[0].type=x"]) == []
    assert plain(root)["supervision"]["children"] == [{"agent": {"name": "a[0]", "type": "x"}}]


@given(st.lists(st.text("a.\\=\"'", min_size=1), min_size=1, max_size=4))
def test_every_path_can_be_written_and_is_read_as_it_was(steps: list[str]) -> None:
    root = tree("{}")

    assert apply_sets(root, [f"{dotted(tuple(steps))}=5"]) == []
    value = plain(root)
    for step in steps:
        value = value[step]
    assert value == 5


def test_a_whole_child_can_be_replaced_by_name() -> None:
    root = tree()

    assert apply_sets(root, ["supervision.children.greeter={name: hello}"]) == []
    assert greeter(root) == {"name": "hello"}


@pytest.mark.parametrize("path", ["config.folder.name", "settings.folder.name"])
def test_mappings_on_the_way_are_made_when_they_are_missing(path: str) -> None:
    root = tree()

    assert apply_sets(root, [f"supervision.children.1.supervisor.children.0.agent.{path}=x"]) == []
    assert reader(root)[path.partition(".")[0]] == {"folder": {"name": "x"}}


def test_the_last_of_several_wins() -> None:
    root = tree()

    apply_sets(root, ["send_timeout=1", "send_timeout=2"])

    assert plain(root)["send_timeout"] == 2


def test_what_was_set_is_located_at_the_option_without_its_value() -> None:
    root = tree()

    apply_sets(root, ["transport.password=hunter3"])

    assert str(locate(root, ("transport", "password"))) == "--set transport.password"


def test_setting_one_use_of_an_alias_leaves_the_others() -> None:
    root = tree("a: &x {p: 1}\nb: *x\nc:\n  <<: *x\n")

    apply_sets(root, ["b.p=2"])

    assert plain(root) == {"a": {"p": 1}, "b": {"p": 2}, "c": {"p": 1}}


@pytest.mark.parametrize(
    ("given", "message", "suggestion"),
    [
        ("send_timeout", "no value", "write key.path=VALUE"),
        ("=5", "empty", "write key.path=VALUE"),
        ("a..b=5", "empty", "write key.path=VALUE"),
        ("send_timeout=[1", "not YAML", ""),
        ("send_timeout=a: b: c", "not YAML", ""),
        ("send_timeout={a: 1, a: 2}", "'a'", ""),
        ("supervision.children.2=x", "has 2 items", "begin at 0"),
        ("supervision.children.99999999999999999999=x", "has 2 items", ""),
        ("supervision.children.greter.type=x", "no item 'greter'", "did you mean 'greeter'?"),
        ("supervision.children.zebra=x", "no item 'zebra'", "greeter, readers"),
        ("supervision.children.-1=x", "no item '-1'", ""),
        (r"supervision.children.greeter\.eu=x", "no item 'greeter.eu'", "did you mean 'greeter'?"),
        (r"supervision.name\=x", "no value", "write key.path=VALUE"),
        ("supervision.children[0].agent.type=x", "no key 'children[0]'", "'children.0'?"),
        ("'supervision.name=x", "has no end", ""),
        ('supervision."name=x', "has no end", ""),
        ("supervision.name.first=x", "has no parts", ""),
        ("supervision.name.first.second=x", "has no parts", ""),
    ],
)
def test_what_can_not_be_set_is_a_problem_at_the_option(
    given: str, message: str, suggestion: str
) -> None:
    (problem,) = apply_sets(tree(), [given])

    assert str(problem.location) == "--set " + re.split(r"(?<!\\)=", given)[0]
    assert message in problem.message
    assert suggestion in problem.suggestion


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("zebra", r"its items are boss, workers\.eu\.1, a\=2Eb"),
        ("workers.eu.1.type", r"did you mean 'workers\.eu\.1'?"),
        (r"workers\.eu\.2", r"did you mean 'workers\.eu\.1'?"),
    ],
)
def test_a_dotted_name_is_suggested_in_the_form_that_a_path_needs(
    path: str, suggestion: str
) -> None:
    names = ("boss", "workers.eu.1", "a=2Eb")
    children = ", ".join(f"agent: {{name: {each}}}" for each in names)
    root = tree(f"supervision: {{children: [{children}]}}")

    (problem,) = apply_sets(root, [f"supervision.children.{path}=1"])

    assert suggestion in problem.suggestion


def test_every_problem_is_told_and_the_rest_is_applied() -> None:
    root = tree()

    problems = apply_sets(root, ["a", "send_timeout=3", "b"])

    assert [each.path for each in problems] == ["a", "b"]
    assert plain(root)["send_timeout"] == 3
