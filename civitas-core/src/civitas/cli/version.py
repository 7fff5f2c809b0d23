"""`civitas version`: what is installed."""

from __future__ import annotations

import platform

from civitas.cli.options import AsJson
from civitas.cli.output import write, write_json


def version(as_json: AsJson = False) -> None:
    """Print the versions of civitas-core, of the plugin API and of Python."""
    from importlib_metadata import version as distribution_version

    from civitas.plugins.catalog import API_VERSION

    core = distribution_version("civitas-core")
    python = platform.python_version()
    if as_json:
        write_json({"civitas_core": core, "plugin_api": API_VERSION, "python": python})
    else:
        write(f"civitas-core {core} (plugin API {API_VERSION}, Python {python})")
