"""`topology validate` and `run` judge alike, also what only shows when a thing is made."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
        self.stop()

class PassesOn(AgentProcess):
    def __init__(self, name, size=1, **settings):
        super().__init__(name, **settings)

class Raises(AgentProcess):
    def __init__(self, name, url, token):
        raise ValueError(f"can't reach {url} with {token}")

class Forgets(AgentProcess):
    def __init__(self, name):
        self.count = 0
"""

OPTIONS = """
from civitas.errors import ConfigurationError
from civitas.plugins import TransportSpec, hookimpl
from pydantic import BaseModel, ConfigDict, Field, SecretStr

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    token: SecretStr = Field(SecretStr(""), description="For the keeper.")

def make(options, context):
    {body}

@hookimpl
def civitas_transports():
    yield TransportSpec("pigeon", "Slow but sure", make, Options)
"""

SERIALIZER = """
from civitas.plugins import SerializerSpec, hookimpl

class Half:
    def serialize(self, message): ...

@hookimpl
def civitas_serializers():
    yield SerializerSpec("half", "Writes and never reads", Half)
"""

TREE = """\
supervision:
  name: root
  children:
"""


def judge(scratch, topology):
    """Return what both commands say, which must be the same, and the problems as JSON."""
    (scratch.root / "agents.py").write_text(AGENTS)
    (scratch.root / "topology.yaml").write_text(topology)
    validated = scratch.command("topology", "validate", "topology.yaml")
    ran = scratch.command("run", "topology.yaml")
    assert (validated.returncode, validated.stderr) == (ran.returncode, ran.stderr)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    answer = json.loads(scratch.command("topology", "validate", "topology.yaml", "--json").stdout)
    assert answer["valid"] is False
    return ran.stderr, [(each["line"], each["path"]) for each in answer["problems"]]


def agent(name, type_, config="{}"):
    return f"    - agent: {{name: {name}, type: agents.{type_}, config: {config}}}\n"


def test_every_constructor_that_raises_is_told_of_with_its_line(scratch):
    children = [
        agent("passes", "PassesOn", "{sizes: 3}"),
        agent("raises", "Raises", '{url: "db://ada:sesame@host", token: opensesame}'),
        agent("forgets", "Forgets"),
        agent("good", "Done"),
    ]
    text, places = judge(scratch, TREE + "".join(children))
    assert places == [(each + 4, f"supervision.children.{each}.agent") for each in range(3)]
    assert "unexpected keyword argument 'sizes'" in text
    assert "can't reach db://***@host with ***" in text
    assert "agents.Forgets does not call super().__init__(name)" in text
    assert "sesame" not in text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return object()", "is broken: what its factory makes is no Transport"),
        ("raise ConfigurationError('one loft is too few')", "transport: one loft is too few"),
        (
            "raise RuntimeError('refused ' + options.token.get_secret_value())",
            "is broken: its factory failed: RuntimeError: refused ***",
        ),
        (
            "from pydantic import TypeAdapter; "
            "TypeAdapter(int).validate_python(options.token.get_secret_value() * 20)",
            "is broken: its factory failed: ValidationError: Input should be a valid integer",
        ),
    ],
)
def test_a_transport_that_can_not_be_made_is_told_of(scratch, body, reason):
    scratch.install("carrier-pigeon", plugin=OPTIONS.replace("{body}", body))
    block = "transport: {type: pigeon, token: sesame}\n"
    text, places = judge(scratch, block + TREE + agent("good", "Done"))
    assert places == [(1, "transport")]
    assert reason in text
    assert "sesame" not in text


def test_every_serializer_that_can_not_be_made_is_told_of(scratch):
    group = "civitas.v1.serializers"
    scratch.install("half-done", name="half", group=group, plugin=SERIALIZER)
    head = "serializer: half\naccept_serializers:\n  - json\n  - half\n"
    text, places = judge(scratch, head + TREE + agent("good", "Done"))
    assert places == [(1, "serializer"), (4, "accept_serializers.1")]
    assert text.count("Half has no method deserialize(data)") == 2
