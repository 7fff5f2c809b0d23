"""Every mistake has a line, a path, and words that help; all of a file come at once."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.errors import ConfigurationError, PluginError
from civitas.process import AgentProcess
from civitas.topology import TopologyError, TopologyPluginError, load_topology_mapping

HEAD = """\
supervision:
  name: root
  children:
    - agent:
        name: a
        type: APP.agents.Plain
"""
"""A valid topology of six lines; what is appended goes to the agent."""

SUPERVISED = """\
supervision:
  name: root
  children:
    - agent: {name: a, type: APP.agents.Plain}
"""
"""A valid topology of four lines; what is appended goes to the children, or further out."""

Case = tuple[str, int, str, str, str]

UNKNOWN_KEYS: list[Case] = [
    (HEAD + "transprot: {type: x}\n", 7, "transprot", "unknown key", "did you mean 'transport'?"),
    (HEAD + "zzz: 1\n", 7, "zzz", "unknown key 'zzz'", "transport, serializer"),
    (SUPERVISED + "  stratgy: x\n", 5, "supervision.stratgy", "unknown key", "'strategy'?"),
    (HEAD + "        mailbox: 5\n", 7, "supervision.children.0.agent.mailbox", "", "mailbox_size"),
    (SUPERVISED + "    - agnet: {}\n", 5, "supervision.children.1.agnet", "unknown", "'agent'?"),
    (
        HEAD + "serializer: {type: json, x: 1}\n",
        7,
        "serializer.x",
        "no option 'x'",
        "has no options",
    ),
    (
        SUPERVISED + "  max_restart: 5\n",
        5,
        "supervision.max_restart",
        "unknown key",
        "'max_restarts'?",
    ),
    (HEAD + "5: x\n", 7, "5", "a key must be text", ""),
]

WRONG_VALUES: list[Case] = [
    (HEAD + "        mailbox_size: big\n", 7, ".mailbox_size", "a whole number, not text", ""),
    (HEAD + "        mailbox_size: '5'\n", 7, ".mailbox_size", "whole number", "the quotes"),
    (HEAD + "send_timeout: 017\n", 7, "send_timeout", "number, not text", "no zero in front"),
    (HEAD + "        config: {5: x}\n", 7, ".config.5", "a key must be text", "in quotes"),
    (HEAD + "        config: {null: x}\n", 7, ".config.null", "must be text", "in quotes"),
    (HEAD + "        mailbox_size: 2.5\n", 7, ".mailbox_size", "whole number, not a number", ""),
    (HEAD + "        mailbox_size: true\n", 7, ".mailbox_size", "whole number, not true", ""),
    (HEAD + "        mailbox_size: 0\n", 7, ".mailbox_size", "must be 1 or more", ""),
    (HEAD + "        retry_delay: -1\n", 7, ".retry_delay", "must be 0 or more", ""),
    (HEAD + "        retry_delay: .inf\n", 7, ".retry_delay", "finite", ""),
    (HEAD + "        retry_backoff: linar\n", 7, ".retry_backoff", "one of CONSTANT", "'LINEAR'?"),
    (HEAD + "        concurrency: 0\n", 7, ".concurrency", "must be 1 or more", ""),
    (HEAD + "        concurrency: 1001\n", 7, ".concurrency", "must be 1000 or less", ""),
    (HEAD + "        max_retries: -1\n", 7, ".max_retries", "must be 0 or more", ""),
    (HEAD + "        handle_timeout: 0\n", 7, ".handle_timeout", "greater than 0", ""),
    (HEAD + "        shutdown_timeout: .inf\n", 7, ".shutdown_timeout", "finite", ""),
    (HEAD + "        heartbeat_interval: -1\n", 7, ".heartbeat_interval", "greater", ""),
    (HEAD + "        config: [a]\n", 7, ".config", "must be a mapping, not a list", ""),
    (HEAD + "        process: 5\n", 7, ".process", "must be text, not a number", "in quotes"),
    (HEAD + "        process: a/b\n", 7, ".process", "can't contain '/'", ""),
    (HEAD + "send_timeout: 0\n", 7, "send_timeout", "must be greater than 0", ""),
    (HEAD + "send_timeout: soon\n", 7, "send_timeout", "must be a number, not text", ""),
    (HEAD + "accept_serializers: json\n", 7, "accept_serializers", "a list, not text", ""),
    (HEAD + "accept_serializers: [5]\n", 7, "accept_serializers.0", "must be text", "quotes"),
    (HEAD + "transport: in_process\n", 7, "transport", "a mapping, not text", "{type: NAME}"),
    (HEAD + "transport: {}\n", 7, "transport.type", "is missing", ""),
    (HEAD + "serializer: [json]\n", 7, "serializer", "name of a serializer, or a mapping", ""),
    (SUPERVISED + "  strategy: ALL\n", 5, ".strategy", "one of ONE_FOR_ONE, ONE_FOR_ALL", ""),
    (SUPERVISED + "  strategy: one_for_al\n", 5, ".strategy", "one of", "'ONE_FOR_ALL'?"),
    (SUPERVISED + "  strategy: 1\n", 5, ".strategy", "REST_FOR_ONE, not a number", ""),
    (SUPERVISED + "  backoff: EXPO\n", 5, ".backoff", "CONSTANT, LINEAR, EXPONENTIAL", ""),
    (SUPERVISED + "  backoff_base: -1\n", 5, ".backoff_base", "must be 0 or more", ""),
    (SUPERVISED + "  max_restarts: many\n", 5, ".max_restarts", "whole number", ""),
    (SUPERVISED + "  restart_window: 0\n", 5, ".restart_window", "greater than 0", ""),
]

STRUCTURE: list[Case] = [
    ("send_timeout: 1\n", 1, "supervision", "is missing", ""),
    ("supervision: 5\n", 1, "supervision", "must be a mapping, not a number", ""),
    ("- a\n- b\n", 1, "", "a topology is a mapping, not a list", "supervision:"),
    ("just text\n", 1, "", "a topology is a mapping, not text", ""),
    ("supervision:\n  name: r\n  children:\n", 3, ".children", "a list, not nothing", ""),
    ("supervision:\n  name: r\n  children: {agent: x}\n", 3, ".children", "a list", ""),
    (SUPERVISED + "    - agent:\n        name: b\n", 5, "1.agent.type", "is missing", ""),
    (SUPERVISED + "    - 5\n", 5, "supervision.children.1", "a mapping, not a number", ""),
    (SUPERVISED + "    - {}\n", 5, "supervision.children.1", "`agent` or `supervisor`", "write"),
    (SUPERVISED + "    - agent:\n", 5, "supervision.children.1", "`agent` or `super", "write"),
    (
        SUPERVISED + "    - name: b\n      process: worker\n",
        5,
        "supervision.children.1",
        "`agent` or `supervisor`",
        "below `agent:`",
    ),
    (
        SUPERVISED + "    - agent:\n      name: b\n      type: APP.agents.Plain\n",
        5,
        "supervision.children.1",
        "`agent` or `supervisor`",
        "below `agent:`, indented",
    ),
    (
        SUPERVISED + "    - name: b\n      children: []\n",
        5,
        "supervision.children.1",
        "`agent` or `supervisor`",
        "below `supervisor:`",
    ),
    (
        SUPERVISED
        + "    - agent: {name: b, type: APP.agents.Plain}\n"
        + "      supervisor: {name: c, children: [{agent: {name: d, type: APP.agents.Plain}}]}\n",
        5,
        "supervision.children.1",
        "not both",
        "two items",
    ),
]

NAMES: list[Case] = [
    (
        SUPERVISED + "    - agent: {name: a, type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "already that of the agent at",
        "its own name",
    ),
    (
        SUPERVISED + "    - agent: {name: root, type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "already that of the supervisor at",
        "",
    ),
    (
        SUPERVISED + "    - agent: {name: a b, type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "can't contain ' '",
        "'a_b' would do",
    ),
    (
        SUPERVISED + "    - agent: {name: .a..b~c., type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "can't contain '~'",
        "'a.b_c' would do",
    ),
    (
        SUPERVISED + "    - agent: {name: _.a, type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "begin with '_'",
        "'a' would do",
    ),
    (
        SUPERVISED + "    - agent: {name: a.., type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "dot",
        "'a' would do",
    ),
    (
        SUPERVISED + "    - agent: {name: _a, type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "begin with '_'",
        "'a' would do",
    ),
    (
        SUPERVISED + "    - agent: {name: 5, type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "must be text, not a number",
        "put it in quotes",
    ),
    (
        SUPERVISED + "    - agent: {name: '', type: APP.agents.Plain}\n",
        5,
        "supervision.children.1.agent.name",
        "empty",
        "",
    ),
]

PLUGINS: list[Case] = [
    (HEAD + "transport: {type: in_proces}\n", 7, "transport.type", "unknown", "in_process"),
    (HEAD + "serializer: jsn\n", 7, "serializer", "unknown serializer 'jsn'", "json"),
    (HEAD + "serializer:\n  type: jsn\n", 8, "serializer.type", "unknown serializer", "json"),
    (HEAD + "accept_serializers:\n  - yml\n", 8, "accept_serializers.0", "unknown", "json"),
    (
        HEAD + "transport:\n  type: in_process\n  pub_addr: x\n",
        9,
        "transport.pub_addr",
        "transport 'in_process' has no option 'pub_addr'",
        "another transport",
    ),
]


@pytest.mark.parametrize(
    ("text", "line", "path", "message", "suggestion"),
    [*UNKNOWN_KEYS, *WRONG_VALUES, *STRUCTURE, *NAMES, *PLUGINS],
)
def test_a_mistake_is_told_once_with_line_path_and_suggestion(
    workspace: Any, text: str, line: int, path: str, message: str, suggestion: str
) -> None:
    (problem,) = workspace.problems(text)

    assert problem.location.file == str(workspace.file)
    assert problem.location.line == line
    assert problem.path.endswith(path)
    assert message in problem.message
    assert suggestion in problem.suggestion or suggestion in problem.message


def test_all_mistakes_of_a_file_are_told_at_once_by_line(workspace: Any) -> None:
    problems = workspace.problems(
        """\
        transport:
          type: no_such_transport
        serializer: no_such_serializer
        send_timeout: never
        colour: red
        supervision:
          name: root
          strategy: NONE
          children:
            - agent:
                name: a b
                type: APP.agents.Missing
                mailbox_size: 0
            - agent:
                name: reader
                type: APP.agents.Reader
                config:
                  floder: x
            - agent:
                name: reader
                type: APP.nowhere.Plain
                config:
                  token: ${NO_SUCH_VARIABLE_ANYWHERE}
            - supervisor:
                name: empty
                children: {}
            - name: loose
              process: worker
        """
    )

    assert [(each.location.line, each.path.split(".")[-1]) for each in problems] == [
        (2, "type"),
        (3, "serializer"),
        (4, "send_timeout"),
        (5, "colour"),
        (8, "strategy"),
        (11, "name"),
        (12, "type"),
        (13, "mailbox_size"),
        (17, "config"),
        (18, "floder"),
        (20, "name"),
        (21, "type"),
        (23, "token"),
        (26, "children"),
        (27, "4"),
    ]


def test_the_text_of_the_error_has_a_line_for_each_problem(workspace: Any) -> None:
    with pytest.raises(TopologyError) as caught:
        workspace.load(HEAD + "        mailbox_size: 0\n        max_retries: 'x'\n")

    assert str(caught.value).splitlines() == [
        "the topology has 2 problems",
        f"{workspace.file}:7: supervision.children.0.agent.mailbox_size: must be 1 or more",
        f"{workspace.file}:8: supervision.children.0.agent.max_retries: "
        "must be a whole number, not text",
    ]


def test_a_single_problem_is_the_whole_text(workspace: Any) -> None:
    with pytest.raises(TopologyError) as caught:
        workspace.load(HEAD + "transprot: 1\n")

    assert str(caught.value) == (
        f"{workspace.file}:7: transprot: unknown key 'transprot' (did you mean 'transport'?)"
    )


def test_a_plugin_that_can_not_be_used_is_a_plugin_error_too(workspace: Any) -> None:
    with pytest.raises(TopologyPluginError) as caught:
        workspace.load(HEAD + "transport: {type: in_proces}\n")

    (problem,) = caught.value.problems
    assert isinstance(caught.value, PluginError)
    assert isinstance(caught.value, ConfigurationError)
    assert problem.code == "plugin-unknown"
    assert caught.value.__cause__ is problem.cause
    assert str(caught.value).count(str(workspace.file)) == 1


def test_what_is_missing_in_the_environment_is_not_told_again_as_a_wrong_type(
    workspace: Any,
) -> None:
    (problem,) = workspace.problems(HEAD + "        mailbox_size: ${SIZE}\n", variables={})

    assert "'SIZE'" in problem.message


def test_a_transport_that_is_replaced_needs_no_variables(workspace: Any) -> None:
    text = HEAD + "transport: {type: pigeon, loft: '${LOFT}'}\n"

    loaded = workspace.load(text, variables={}, transport="in_process")

    assert loaded.transport.type_name == "in_process"


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ("supervision.max_restart=5", "supervision.max_restart", "unknown key"),
        ("supervision.max_restarts=x", "supervision.max_restarts", "whole number"),
        ("transport.type=pigeons", "transport.type", "unknown transport"),
        ("supervision.children.a.type=APP.agents.Nobody", "0.agent.type", "no module"),
        ("supervision.children=5", "supervision.children", "must be a list"),
        ("supervision.children.a.name=${NOPE}", "0.agent.name", "NOPE"),
    ],
)
def test_a_mistake_in_what_was_set_is_told_at_the_option(
    workspace: Any, given: str, path: str, message: str
) -> None:
    (problem,) = workspace.problems(HEAD, sets=[given], variables={})

    assert str(problem.location) == f"--set {given.partition('=')[0]}"
    assert problem.path.endswith(path)
    assert message in problem.message


def test_an_unknown_transport_of_the_option_is_told_at_the_option(workspace: Any) -> None:
    (problem,) = workspace.problems(HEAD, transport="in_proces")

    assert str(problem.location) == "--transport"


def test_a_setting_can_not_stand_in_config_and_beside_it(workspace: Any) -> None:
    (problem,) = workspace.problems(
        """\
        supervision:
          name: root
          children:
            - agent:
                name: a
                type: APP.agents.Open
                mailbox_size: 5
                config:
                  colour: red
                  mailbox_size: 6
        """
    )

    assert problem.location.line == 10
    assert "beside `config`" in problem.message


def test_deep_nesting_in_a_mapping_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["supervision"] = endless

    with pytest.raises(TopologyError, match="contains itself"):
        load_topology_mapping(endless, agent_base=AgentProcess)


def test_a_mistake_in_a_mapping_is_told_by_path() -> None:
    with pytest.raises(TopologyError) as caught:
        load_topology_mapping({"supervision": {"children": []}}, agent_base=AgentProcess)

    assert str(caught.value) == "<mapping>: supervision.name: is missing"
