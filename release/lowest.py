"""The lowest version of each other project that our distributions admit.

`python -m release.lowest` prints them as requirements: what `requirements/lowest.in` has, and
with `--build` what `requirements/lowest-build.in` has. The `.txt` beside each pins the newest of
what these versions need in turn, for an old version with new ones is what breaks. It is made by
`uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.ranges import lower_end
from release.workspace import Distribution, distributions

TOOLS: Final = (
    *("editables", "hatchling", "hypothesis", "jsonschema"),
    *("opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk", "psutil"),
    *("pytest-asyncio", "pytest-timeout", "pytest-xdist"),
)
"""What tests need besides, in the newest version that goes with the lowest of ours."""


class UnboundedError(Exception):
    """A requirement names no lowest version."""


def lowest(workspace: Mapping[str, Distribution]) -> dict[str, Version]:
    """Return the lowest versions with which all distributions and extras can be installed.

    Raises:
        UnboundedError: a requirement has no lower end.
    """
    needed = (chain(each.requirements, *each.extras.values()) for each in workspace.values())
    return _lower_ends(chain.from_iterable(needed), workspace)


def lowest_of_build(workspace: Mapping[str, Distribution]) -> dict[str, Version]:
    """Return the lowest versions of what builds the distributions.

    Raises:
        UnboundedError: a requirement has no lower end.
    """
    texts = (each.settings["build-system"]["requires"] for each in workspace.values())
    return _lower_ends(map(Requirement, chain.from_iterable(texts)), workspace)


def _lower_ends(
    requirements: Iterable[Requirement], workspace: Mapping[str, Distribution]
) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for each in requirements:
        name = canonicalize_name(each.name)
        if name in workspace:
            continue
        end = lower_end(each.specifier)
        if end is None:
            raise UnboundedError(f"{each} names no lowest version")
        found[name] = max(end, found.get(name, end))
    return dict(sorted(found.items()))


def lines(versions: Mapping[str, Version], tools: Iterable[str] = ()) -> Iterator[str]:
    """Return the versions as requirements, and the tools after them."""
    yield from (f"{name}=={version}" for name, version in versions.items())
    yield from tools


def main(arguments: list[str]) -> None:
    """Print the requirements."""
    workspace = distributions(Path(__file__).parents[1])
    build = arguments == ["--build"]
    wanted = lines(lowest_of_build(workspace)) if build else lines(lowest(workspace), TOOLS)
    print("\n".join(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
