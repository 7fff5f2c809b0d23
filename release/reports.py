"""The conformance reports that packages ship: of this version, and of a suite that passed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from release.workspace import CORE, Distribution

FILE: Final = "conformance.json"
_KINDS: Final = {"civitas.v1.transports": "transport", "civitas.v1.serializers": "serializer"}


def report_problems(distribution: Distribution, core: Distribution) -> Iterator[str]:
    """Say what is wrong with the report in a plugin's package.

    Args:
        distribution: the plugin.
        core: civitas-core, as it will be released with it.
    """
    if distribution.package is None or not distribution.is_plugin:
        return
    file = distribution.package / FILE
    place = f"{distribution.name}: {FILE}"
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        yield from (f"{place}: {each}" for each in _problems(report, distribution, core))
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{place} can't be read, `make conformance` writes it: {_words(error, file)}"


def _problems(report: dict[str, Any], plugin: Distribution, core: Distribution) -> Iterator[str]:
    if not _is(report["core"], core.version):
        yield f"it is of a run with {CORE} {report['core']}, and {core.version} is here"
    points = plugin.project["entry-points"]
    for group, kind in _KINDS.items():
        for name in points.get(group, ()):
            suites = [
                each for each in report["suites"] if (each["kind"], each["plugin"]) == (kind, name)
            ]
            if not suites:
                yield f"it has no run of the {kind} {name}"
            for each in suites:
                yield from _suite_problems(each, plugin)


def _suite_problems(suite: dict[str, Any], plugin: Distribution) -> Iterator[str]:
    if not _is(suite["version"], plugin.version):
        yield f"{suite['class']} ran with version {suite['version']}, not {plugin.version}"
    if not suite["conforms"]:
        yield f"{suite['class']} did not pass {', '.join(suite['not_passed'])}"


def _is(text: str | None, version: Version) -> bool:
    try:
        return Version(text or "") == version
    except InvalidVersion:
        return False


def _words(error: Exception, file: Path) -> str:
    return "there is none" if not file.exists() else f"{type(error).__name__}: {error}"
