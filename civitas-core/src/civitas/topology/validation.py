"""Validation of a topology: types against the model, and the rules that span several places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, get_args

from pydantic import ValidationError

from civitas._published import KEYS, hint
from civitas._signing.settings import SignedFrames
from civitas.messages import name_problem
from civitas.topology.model import (
    AgentBlock,
    Backoff,
    Block,
    ChildBlock,
    HealthBlock,
    Strategy,
    SupervisorBlock,
    TopologyModel,
)
from civitas.topology.problems import (
    REMOVE_QUOTES,
    Explanation,
    Problem,
    did_you_mean,
    explain,
    kind_of,
    problem_at,
)
from civitas.topology.yaml_nodes import (
    Entry,
    MappingNode,
    Node,
    Path,
    ScalarNode,
    SequenceNode,
    dotted,
    find,
    locate,
    plain,
    text,
)

_BLOCKS: Final[dict[str, tuple[str, type[Block]]]] = {
    "": ("", TopologyModel),
    "supervision": ("of a supervisor ", SupervisorBlock),
    "supervisor": ("of a supervisor ", SupervisorBlock),
    "agent": ("of an agent ", AgentBlock),
    "health": ("of a health block ", HealthBlock),
}
"""Whose keys an unknown key stands among, by the key above."""
_CHOICES: Final = {
    "strategy": get_args(Strategy),
    "backoff": get_args(Backoff),
    "retry_backoff": get_args(Backoff),
    "signed_frames": get_args(SignedFrames),
}
_OPEN: Final = frozenset(("transport", "serializer", "instruments", "config"))
"""Blocks whose values may be anything."""
_KINDS: Final = ("agent", "supervisor")
_SETTINGS: Final = (
    *("mailbox_size", "max_retries", "handle_timeout", "shutdown_timeout", "concurrency"),
    *("retry_delay", "retry_backoff"),
)
_NEEDS_KIND: Final = "a child has the key `agent` or `supervisor`"
_SPELLING: Final = "this spelling is text: a number has no zero in front, and 0o17 is octal"
_CHILD_FORM: Final = "write `- agent: {name: ..., type: ...}`"


class Found(NamedTuple):
    """A block of the supervision tree; `kind` is `agent` or `supervisor`."""

    kind: str
    path: Path
    node: MappingNode


def check_model(root: Node) -> tuple[TopologyModel | None, list[Problem]]:
    """Check keys, types and bounds; return the model, or `None` and the problems."""
    try:
        return TopologyModel.model_validate(plain(root)), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return None, [_model_problem(root, each) for each in errors if not _has_rule(root, each)]


def _check_keys(node: Node, path: Path = (), *, deep: bool = True) -> Iterator[Problem]:
    """Find keys that are no text; what is nested in options and `config` is not ours to judge."""
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield from _check_keys(item, (*path, index), deep=deep)
    if not isinstance(node, MappingNode):
        return
    for key, entry in node.entries.items():
        if not isinstance(key, str):
            path_of_key = dotted((*path, entry.written))
            yield Problem(entry.where, path_of_key, "a key must be text", "put it in quotes")
        elif deep:
            yield from _check_keys(entry.node, (*path, key), deep=key not in _OPEN)


def blocks(root: MappingNode) -> Iterator[Found]:
    """Walk over the agents and supervisors that are mappings, parents first, in their order."""
    top = root.get("supervision")
    waiting = [Found("supervisor", ("supervision",), top)] if isinstance(top, MappingNode) else []
    while waiting:
        found = waiting.pop()
        yield found
        if found.kind == "supervisor":
            waiting.extend(reversed(list(_children(found))))


def _children(supervisor: Found) -> Iterator[Found]:
    for index, child in _mappings(supervisor.node.get("children")):
        for kind in _KINDS:
            node = child.get(kind)
            if isinstance(node, MappingNode):
                yield Found(kind, (*supervisor.path, "children", index, kind), node)


def _mappings(children: Node | None) -> Iterator[tuple[int, MappingNode]]:
    for index, child in enumerate(children.items if isinstance(children, SequenceNode) else ()):
        if isinstance(child, MappingNode):
            yield index, child


def nest_agents(root: MappingNode) -> None:
    """Bring agents that are written flat, `- name: x, type: y`, into the form with `agent:`.

    Only a child with a `type` is one: all else that has no `agent:` may be a slip.
    """
    waiting = [root.get("supervision")]
    while waiting:
        supervisor = waiting.pop()
        children = supervisor.get("children") if isinstance(supervisor, MappingNode) else None
        if not isinstance(children, SequenceNode):
            continue
        for index, child in _mappings(children):
            if "type" in child.entries and child.entries.keys().isdisjoint(_KINDS):
                nested = MappingNode(child.where, {"agent": Entry(child.where, child)})
                children.items[index] = nested
            else:
                waiting.append(child.get("supervisor"))


def check_rules(root: MappingNode) -> list[Problem]:
    """Check what no single value shows: children's form, names, and names given twice."""
    problems = list(_check_keys(root))
    names: dict[str, Found] = {}
    for found in blocks(root):
        problems += _check_name(root, found, names)
        check = _check_agent if found.kind == "agent" else _check_children
        problems += check(root, found)
    return problems


def _has_rule(root: Node, error: Any) -> bool:
    """Return whether `check_rules` judges this: keys, and a child without `agent:`."""
    if error["type"] == "invalid_key" or error["loc"][-1:] == ("[key]",):
        return True
    if error["type"] != "extra_forbidden":
        return False
    child = find(root, error["loc"][:-1])
    return isinstance(child, MappingNode) and len(error["loc"]) > 2 and bool(_bare_kind(child))


def _model_problem(root: Node, error: Any) -> Problem:
    path: Path = error["loc"]
    node = find(root, path)
    explanation = explain(error)
    if explanation.suggestion == REMOVE_QUOTES and isinstance(node, ScalarNode) and node.plain:
        explanation = explanation._replace(suggestion=_SPELLING)
    elif error["type"] == "extra_forbidden":
        explanation = _unknown_key(root, path)
    elif error["type"] == "literal_error" and path[-1] in _CHOICES:
        explanation = _bad_choice(_CHOICES[path[-1]], error["input"])
    elif path == ("transport",):
        explanation = Explanation(explanation.message, "write `transport: {type: NAME}`")
    elif path == ("instruments",):
        explanation = Explanation("must be a list", "write `instruments: [{type: NAME}]`")
    elif path[:1] == ("instruments",) and len(path) == 2:
        explanation = Explanation("must be the name of an instrument, or a mapping with `type`")
    elif path == ("health",):
        explanation = Explanation(explanation.message, "write `health: {listen: HOST:PORT}`")
    elif path == ("serializer",):
        explanation = Explanation("must be the name of a serializer, or a mapping with `type`")
    elif path[:1] == ("cluster_key",):
        path = ("cluster_key",)
        explanation = Explanation("must be text, or a list of two texts", "put it in quotes")
    return problem_at(root, path, *explanation)


def _unknown_key(root: Node, path: Path) -> Explanation:
    key = str(path[-1])
    owner, block = _BLOCKS.get(str(path[-2]) if len(path) > 1 else "", ("", ChildBlock))
    for kind in _KINDS if block is ChildBlock else ():
        if key in _BLOCKS[kind][1].model_fields and find(root, (*path[:-1], kind)) is not None:
            below = dotted((*path[:-1], kind, key))
            return Explanation(f"unknown key {key!r}", f"did you mean {below!r}?")
    known = list(block.model_fields)
    listed = f"the keys {owner}here are {', '.join(known)}"
    return Explanation(f"unknown key {key!r}", hint(key, KEYS) or did_you_mean(key, known, listed))


def _bad_choice(choices: tuple[str, ...], given: Any) -> Explanation:
    listed = f"one of {', '.join(choices)}"
    if not isinstance(given, str):
        return Explanation(f"must be {listed}, not {kind_of(given)}")
    return Explanation(f"must be {listed}", did_you_mean(given, choices))


def _check_name(root: Node, found: Found, names: dict[str, Found]) -> Iterable[Problem]:
    name = text(found.node.get("name"))
    if name is None:
        return  # missing or no text: the model says so
    reason = name_problem(name)
    first = names.setdefault(name, found)
    if reason is None and first is found:
        return
    path = (*found.path, "name")
    if reason is not None:
        allowed = _allowed(name)
        usable = name_problem(allowed) is None
        yield problem_at(root, path, reason, f"{allowed!r} would do" if usable else "")
    if first is not found:
        place = locate(root, (*first.path, "name"))
        message = f"the name {name!r} is already that of the {first.kind} at {place}"
        yield problem_at(root, path, message, "give each agent and supervisor its own name")


def _allowed(name: str) -> str:
    """Return a name with each character that is not allowed replaced, and wrong dots left out."""
    replaced = "".join("_" if name_problem(f"x{each}x") else each for each in name)
    return ".".join(part for part in replaced.lstrip("._").split(".") if part)


def _check_agent(root: Node, found: Found) -> Iterable[Problem]:
    process = text(found.node.get("process"))
    reason = name_problem(process) if process is not None else None
    if reason is not None:
        yield problem_at(root, (*found.path, "process"), reason)
    config = found.node.get("config")
    if not isinstance(config, MappingNode):
        return
    for key in _SETTINGS:
        if key in found.node.entries and key in config.entries:
            message = f"{key!r} is given beside `config` too"
            path = (*found.path, "config", key)
            yield problem_at(root, path, message, "remove one of the two")


def _check_children(root: Node, found: Found) -> Iterable[Problem]:
    children = found.node.get("children")
    for index, child in enumerate(children.items if isinstance(children, SequenceNode) else ()):
        wrong = _child_form(child) if isinstance(child, MappingNode) else None
        if wrong is not None:
            yield problem_at(root, (*found.path, "children", index), *wrong)


def _child_form(child: MappingNode) -> Explanation | None:
    """Return what is wrong with the form of a child.

    The model reports unknown keys, unless they are those of an agent or a supervisor.
    """
    given = [kind for kind in _KINDS if plain(child.get(kind)) is not None]
    if len(given) == 2:
        return Explanation("a child is an agent or a supervisor, not both", "make two items of it")
    kind = _bare_kind(child)
    if kind:
        return Explanation(_NEEDS_KIND, f"put these keys below `{kind}:`, indented")
    if not given and set(child.entries) <= set(_KINDS):
        return Explanation(_NEEDS_KIND, _CHILD_FORM)
    return None


def _bare_kind(child: MappingNode) -> str | None:
    """Return what a child seems to be whose keys stand beside `agent:` instead of below it."""
    keys = set(child.entries) - set(_KINDS)
    if not keys or any(plain(child.get(kind)) is not None for kind in _KINDS):
        return None
    if keys <= set(AgentBlock.model_fields):
        return "agent"
    return "supervisor" if keys <= set(SupervisorBlock.model_fields) else None
