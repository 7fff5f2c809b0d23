"""`civitas version`: the versions of what a bug report should name."""

from __future__ import annotations

import platform

from civitas.cli.options import AsJson
from civitas.cli.output import write, write_json


def version(as_json: AsJson = False) -> None:
    """Print the versions of civitas-core, of the plugin API and of Python."""
    from civitas.plugins.catalog import API_VERSION, CORE_DISTRIBUTION
    from civitas.plugins.metadata import installed_version

    core, python = installed_version(CORE_DISTRIBUTION), platform.python_version()
    if as_json:
        write_json({"civitas_core": core, "plugin_api": API_VERSION, "python": python})
    else:
        shown = core or "of unknown version: its metadata is not here"
        write(f"civitas-core {shown} (plugin API {API_VERSION}, Python {python})")
