"""What is said of each error: where it is, its code, and what its class says that has happened."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from functools import cached_property
from types import ModuleType

from civitas.errors import CivitasError
from docs_build.reference.markers import Marker, MarkerError, Part, chosen
from docs_build.reference.tables import code, table


class Errors:
    """The public error classes: `error MailboxFullError`, and `error-codes` for all of them."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        self._modules = modules

    @cached_property
    def _classes(self) -> dict[str, type[CivitasError]]:
        found = {
            name: each
            for module in self._modules
            for name, each in vars(module).items()
            if inspect.isclass(each) and issubclass(each, CivitasError) and name[0] != "_"
        }
        return dict(sorted(found.items()))

    def entries(self) -> list[str]:
        """Return every error, as `error MailboxFullError`."""
        return ["error-codes", *(f"error {name}" for name in self._classes)]

    def part(self, marker: Marker) -> Part:
        """Return what one class says of itself; the page must say what to do about it.

        Raises:
            MarkerError: the page says nothing below the marker.
        """
        name = chosen(marker.subject, self._classes, "error")
        if not marker.follows:
            raise MarkerError(f"say below the marker what to do about {name}")
        return Part(_described(self._classes[name]), frozenset([f"error {name}"]))

    def codes(self, marker: Marker) -> Part:
        """Return the table of all errors by their codes. Each has a heading of its name."""
        rows = (
            [
                code(each.code),
                f"[`{name}`](#{name.lower()})",
                _sentences(each)[0],
            ]
            for name, each in sorted(self._classes.items(), key=lambda item: item[1].code)
        )
        return Part(
            table("codes", ["code", "error", "what has happened"], rows), frozenset(["error-codes"])
        )


def _described(each: type[CivitasError]) -> str:
    home = _home(each)
    bases = [base for base in each.__bases__ if base is not Exception]
    kinds = " and ".join(f"`{base.__name__}`" for base in bases)
    facts = [f"[`{home}.{each.__name__}`][{each.__module__}.{each.__name__}]"]
    facts.append(f"code `{each.code}`")
    if kinds:
        facts.append(f"a {kinds}")
    return f"{' · '.join(facts)}\n\n{' '.join(_sentences(each))}"


def _home(each: type[CivitasError]) -> str:
    """Return the module to import a class from: its package, where that offers it."""
    package = each.__module__.rpartition(".")[0]
    offered = getattr(sys.modules.get(package), "__all__", ())
    return package if each.__name__ in offered else each.__module__


def _sentences(each: type[CivitasError]) -> list[str]:
    """Return the paragraphs of a docstring, up to its first section, each in one line."""
    paragraphs = (inspect.getdoc(each) or "").split("\n\n")
    return [" ".join(each.split()) for each in paragraphs if not each.startswith("Attributes:")]
