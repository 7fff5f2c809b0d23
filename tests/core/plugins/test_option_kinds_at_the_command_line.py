"""The installed command with a plugin that has options of every kind."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from support.option_kinds import KINDS, block, source

pytestmark = pytest.mark.slow

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
        self.stop()
"""
TREE = "supervision: {name: root, children: [{agent: {name: done, type: agents.Done}}]}\n"
SILENT = [name for name, kind in KINDS.items() if kind.silent]


@pytest.fixture
def project(scratch: Any) -> Any:
    """A folder with two topologies of the plugin `acme-hawk`, which is installed."""
    scratch.lay("acme_hawk", {"plugin": source()}, transports="acme_hawk.plugin")
    points = scratch.site / "acme_hawk-1.0.dist-info/entry_points.txt"
    points.write_text(points.read_text().replace("acme_hawk =", "acme-hawk ="))
    (scratch.root / "agents.py").write_text(AGENTS)
    for name in ("good", "bad"):
        (scratch.root / f"{name}.yaml").write_text(block(name) + TREE)
    return scratch


def told(project: Any, *command: str, code: int = 0) -> Any:
    """Run a command; return what it wrote, which has no secret and no traceback."""
    done = project.command(*command)
    assert done.returncode == code, done.stderr
    for text in (done.stdout, done.stderr):
        assert "sesame" not in text
        assert "Traceback" not in text
        assert "Warning" not in text
    return done


def test_good_values_are_valid_shown_and_run(project: Any) -> None:
    shown = json.loads(told(project, "topology", "show", "good.yaml", "--json").stdout)
    for name, kind in KINDS.items():
        key = "far.deep" if name == "below" else kind.key or name
        assert shown["transport"][key] == kind.shown
    line, *_ = told(project, "topology", "show", "good.yaml").stdout.splitlines()
    assert "  numbers=1 2  distinct=1 3  frozen=a b  pair=a 1  " in line
    assert '  nests=[{"size": 2, "lid": null}]  ' in line
    told(project, "run", "good.yaml", "--log-level", "debug")


def test_every_bad_value_is_told_with_its_line(project: Any) -> None:
    errors = told(project, "topology", "validate", "bad.yaml", code=2).stderr
    keys = [kind.key or name for name, kind in KINDS.items() if kind.bad]
    wrong = re.findall(r"^bad\.yaml:(\d+): transport\.([\w-]+)", errors, re.MULTILINE)
    assert wrong == [(str(line), key) for line, key in enumerate(keys, 3)]


def test_what_has_no_json_schema_is_left_out_with_a_note_and_an_author_knows(
    project: Any,
) -> None:
    done = told(project, "topology", "schema")
    notes = [f"note: left out: transport 'acme-hawk', option {name!r}: " for name in SILENT]
    lines = done.stderr.splitlines()
    assert len(lines) == len(notes)
    assert all(line.startswith(note) for line, note in zip(lines, notes, strict=True))
    options = json.loads(done.stdout)["$defs"]["transport.acme-hawk"]
    assert not options["properties"].keys() & set(SILENT)
    checked = told(project, "plugins", "check", "acme-hawk").stdout
    for name in SILENT:
        assert f"advice: option {name!r}: its type has no JSON Schema" in checked


def test_an_author_sees_each_option_with_its_type(project: Any) -> None:
    out = told(project, "plugins", "show", "acme-hawk").stdout
    assert re.search(r"^  any_code +Secret\[str\] +default None, secret ", out, re.MULTILINE)
    assert re.search(r"^  ring-list +int +default 1 ", out, re.MULTILINE)


IN_CODE = """
import json

from civitas import Runtime, Supervisor
from civitas.errors import ConfigurationError
from pydantic import SecretStr

def options(**given):
    runtime = Runtime(Supervisor("root"), transport="acme-hawk", **given)
    return runtime

def refusal(**given):
    try:
        options(**given)
    except ConfigurationError as error:
        return str(error)

options(acme_hawk_text="a", acme_hawk_ring_list=4, acme_hawk_one=5, acme_hawk_hook=len,
        acme_hawk_code=SecretStr("sesame"), acme_hawk_any_code="sesame")
print(json.dumps([
    refusal(acme_hawk_txt="a"),
    refusal(acme_hawk_ring_lst=4),
    refusal(text="a"),
    refusal(acme_hawk_number="x", acme_hawk_code=["sesame"]),
    refusal(acme_hawk_renamed=4),
    refusal(acme_hawk_type="a"),
]))
"""


def test_keywords_give_options_and_are_suggested(project: Any) -> None:
    misspelt, alias, bare, wrong, by_name, kind = project.python(IN_CODE)
    assert "acme_hawk_txt: transport.txt: transport 'acme-hawk' has no option 'txt'" in misspelt
    assert "(did you mean 'acme_hawk_text'?)" in misspelt
    assert "(did you mean 'acme_hawk_ring_list'?)" in alias
    assert "its options begin with 'acme_hawk_' here (did you mean 'acme_hawk_text'?)" in bare
    assert "acme_hawk_number: transport.number: must be a number, not text" in wrong
    assert "acme_hawk_code: transport.code: must be text, not a list" in wrong
    assert "has no option 'renamed'" in by_name
    assert "'acme_hawk_type' is given twice" in kind


def test_an_option_that_is_called_type_is_refused(scratch: Any) -> None:
    hawk = source(kinds={"type": KINDS["text"], "revealed": KINDS["revealed"]})
    scratch.lay("hawk", {"plugin": hawk.replace("acme-hawk", "hawk")}, transports="hawk.plugin")
    done = scratch.civitas("check", "hawk")
    assert done.returncode == 1
    assert "its option 'type' can't be given, for that key names the plugin" in done.stdout
