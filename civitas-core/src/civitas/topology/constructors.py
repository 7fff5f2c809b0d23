"""What the constructor of an agent, or the factory of one, takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from inspect import Parameter
from typing import Any, Final, TypeAlias

from civitas.topology.problems import Problem, did_you_mean, problem_at
from civitas.topology.yaml_nodes import MappingNode, Path

Maker: TypeAlias = Callable[..., Any]
"""A class of agents, or a factory: called with the name and `config`, it gives an agent."""

_NOT_POSITIONAL: Final = (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)
_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ONLY_NAME: Final = "it takes only the name"


class Constructor:
    """What makes an agent: its class, or a factory; both are given the name as first argument.

    One with `**kwargs` takes every key of `config`, as far as can be seen from outside; a service
    is given only to who names it.

    Args:
        maker: the class, or the factory.
        services: values by the names of the arguments that take them.
    """

    def __init__(self, maker: Callable[..., Any], services: Mapping[str, Any]) -> None:
        self.maker = maker
        self._title: str = getattr(maker, "__qualname__", type(maker).__qualname__)
        self._parameters: list[Parameter] | None = None
        """All but `self`; `None` where they can't be known."""
        # The class's own signature may be that of a `__new__` in its base; a constructor written in
        # C need not have one.
        with suppress(TypeError, ValueError):
            if isinstance(maker, type):
                signature = inspect.signature(maker.__init__)  # type: ignore[misc]
                self._parameters = list(signature.parameters.values())[1:]
            else:
                self._parameters = list(inspect.signature(maker).parameters.values())
        parameters = self._parameters or ()
        named = [each for each in parameters if each.kind not in _NOT_POSITIONAL]
        self._first = named[0] if named else None
        self._named = {
            each.name: each.default is Parameter.empty
            for each in parameters
            if each.kind in _BY_NAME and each is not self._first
        }
        """Whether each argument that has a name is needed."""
        self._takes_all = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)
        self.services = {key: value for key, value in services.items() if key in self._named}
        """Those that it takes, by name."""

    @property
    def title(self) -> str:
        """Its module and name."""
        module = getattr(self.maker, "__module__", type(self.maker).__module__)
        return f"{module}.{self._title}"

    def problems(
        self, root: MappingNode, path: Path, config: Mapping[Any, Any]
    ) -> Iterator[Problem]:
        """Compare `config` with it."""
        if self._parameters is None:
            return
        if self._first is None:
            message = f"{self._title} does not take the agent's name first"
            yield problem_at(root, path, message)
            return
        for key in config:
            if not isinstance(key, str):
                continue  # the model says so
            if key == self._first.name:
                message = f"{key!r} is the agent's name already"
                yield problem_at(root, (*path, key), message, "remove it here")
            elif key in self.services:
                message = f"{key!r} is given by the services of this process"
                yield problem_at(root, (*path, key), message, "remove it here")
            elif key not in self._named and not self._takes_all:
                listed = f"it takes {', '.join(self._named)}" if self._named else _ONLY_NAME
                message = f"{self._title} takes no argument {key!r}"
                suggestion = did_you_mean(key, self._named, listed)
                yield problem_at(root, (*path, key), message, suggestion)
        for name, needed in self._named.items():
            if needed and name not in config and name not in self.services:
                message = f"{self._title} needs the argument {name!r}"
                yield problem_at(root, path, message, f"add `{name}:` to config")
