"""The page for authors says what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from civitas.plugins import (
    Capabilities,
    InstrumentContext,
    InstrumentSpec,
    SerializerSpec,
    TransportContext,
    TransportSpec,
    hookspecs,
    selection,
)
from civitas.plugins import errors as plugin_errors
from civitas.plugins.catalog import PluginKind

PAGE = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("civitas_")}


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def signature_in_source(hook) -> str:
    (function,) = ast.parse(inspect.getsource(hook)).body
    return f"def {function.name}({ast.unparse(function.args)}) -> {ast.unparse(function.returns)}"


def section(title: str) -> str:
    return PAGE.split(f"**`{title}`**")[1].split("**`")[0].split("\n###")[0]


def test_every_hook_is_documented_with_its_exact_signature_and_no_other_is():
    documented = {block.strip() for block in code_blocks() if block.startswith("def civitas_")}
    assert documented == {signature_in_source(hook) for hook in HOOKS.values()}


def test_there_is_a_hook_and_a_documented_group_for_every_kind():
    assert set(HOOKS) == {kind.hook for kind in PluginKind}
    assert set(re.findall(r"^\| `(civitas\.v1\.\w+)`", PAGE, re.MULTILINE)) == {
        kind.group for kind in PluginKind
    }


SPECS = (
    *(TransportSpec, Capabilities, TransportContext),
    *(SerializerSpec, InstrumentSpec, InstrumentContext),
)


@pytest.mark.parametrize("spec", SPECS)
def test_every_field_of_a_spec_is_documented_in_order(spec):
    documented = re.findall(r"^\| `(\w+)` \|", section(spec.__name__), re.MULTILINE)
    assert documented == [field.name for field in fields(spec)]


def test_every_code_of_a_diagnosis_is_documented():
    errors = [
        each
        for each in vars(plugin_errors).values()
        if isinstance(each, type)
        and issubclass(each, plugin_errors.UnusablePluginError)
        and each is not plugin_errors.UnusablePluginError
    ]
    documented = re.findall(r"^- `(plugin-[\w-]+)`:", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(each.code for each in errors)
    assert len(set(documented)) == 6


def test_both_settings_are_documented():
    assert set(re.findall(r"^\| `(CIVITAS_\w+)` \|", PAGE, re.MULTILINE)) == {
        selection.ALLOW_SETTING,
        selection.DENY_SETTING,
    }


def test_the_whole_plugin_of_the_page_loads(scratch):
    (module,) = [block for block in code_blocks() if "class PigeonOptions" in block]
    scratch.install(plugin=module)
    program = """
import json
from civitas.plugins.loader import load_transport
loaded = load_transport("pigeon")
print(json.dumps([loaded.spec.name, loaded.spec.options().loft]))
"""
    assert scratch.python(program) == ["pigeon", "home"]
