"""The options of a transport: checked against the model that its plugin has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from civitas.errors import Location
from civitas.plugins import TransportSpec
from civitas.plugins.options import is_secret
from civitas.topology.masking import mask_text, secret_texts
from civitas.topology.problems import Problem, did_you_mean, problem_at, raise_problems
from civitas.topology.pydantic_errors import Explanation, explain
from civitas.topology.yaml_nodes import (
    MappingNode,
    Path,
    from_mapping,
    plain,
    walkable,
)
from civitas.topology.yaml_reader import MAX_DEPTH


def check_options(root: MappingNode, spec: TransportSpec) -> tuple[BaseModel | None, list[Problem]]:
    """Make a transport's options from the `transport` block.

    No problem repeats a value: an option may be a secret, also where the plugin does not say so.

    Args:
        root: the topology, whose `transport` block, if there is one, is a mapping.
        spec: the transport.

    Returns:
        The options, `None` for a transport without options; and the problems.
    """
    block = plain(root.get("transport")) or {}
    values = {key: value for key, value in block.items() if key != "type"}
    if spec.options is None:
        return None, [_unknown_option(root, spec, (key,), ()) for key in values]
    try:
        return spec.options.model_validate(values), []
    except ValidationError as error:
        secrets = secret_texts(values, secret_fields(spec.options))
        errors = error.errors(include_url=False)
        return None, _merged([_option_problem(root, spec, each, secrets) for each in errors])
    except Exception as error:  # noqa: BLE001 - a validator of the plugin's may raise anything
        message = f"checking the options of {spec.name!r} failed with {type(error).__name__}"
        suggestion = "the plugin should raise ValueError; tell its author"
        return None, [problem_at(root, ("transport",), message, suggestion)]


def options_from_mapping(block: Mapping[str, Any], spec: TransportSpec) -> BaseModel | None:
    """Make a transport's options from a block that was given in code.

    Args:
        block: `type` and the options.
        spec: the transport.

    Raises:
        TopologyError: an option is unknown or wrong; all of them are listed.
    """
    root = from_mapping({"transport": block}, Location("<options>"), MAX_DEPTH)
    assert isinstance(root, MappingNode)
    options, problems = check_options(root, spec)
    raise_problems(problems)
    return options


def secret_fields(model: type[BaseModel]) -> list[str]:
    """Return names and aliases of the fields whose type is, or contains, SecretStr."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        if is_secret(field.annotation):
            names += [name, *([field.alias] if field.alias else [])]
    return names


def _option_problem(
    root: MappingNode, spec: TransportSpec, error: Any, secrets: list[str]
) -> Problem:
    loc: Path = error["loc"]
    if error["type"] == "extra_forbidden" and len(loc) == 1 and spec.options is not None:
        return _unknown_option(root, spec, loc, tuple(spec.options.model_fields))
    # Below the option, the location also names the member of a union that was tried.
    path = walkable(root, ("transport", *loc))
    if error["type"] == "missing":
        path = ("transport", *loc)
    explanation: Explanation = explain(error)
    message = mask_text(explanation.message, secrets)
    return problem_at(root, path, message, explanation.suggestion)


def _unknown_option(
    root: MappingNode, spec: TransportSpec, loc: Path, known: tuple[str, ...]
) -> Problem:
    listed = f"its options are {', '.join(known)}" if known else "it has no options"
    suggestion = did_you_mean(str(loc[0]), known, f"{listed}; is it one of another transport?")
    message = f"transport {spec.name!r} has no option {str(loc[0])!r}"
    return problem_at(root, ("transport", *loc), message, suggestion)


def _merged(problems: list[Problem]) -> list[Problem]:
    """Make one problem of those at one path: the members of a union fail one by one."""
    by_path: dict[str, list[Problem]] = {}
    for each in problems:
        by_path.setdefault(each.path, []).append(each)
    return [
        Problem(
            same[0].location,
            path,
            "; or ".join(dict.fromkeys(each.message for each in same)),
            next((each.suggestion for each in same if each.suggestion), ""),
        )
        for path, same in by_path.items()
    ]
