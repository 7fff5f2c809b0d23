"""The transport block of a file is read alone: nothing else of the file has to be right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from civitas.errors import ConfigurationError
from civitas.plugins import TransportSpec
from civitas.topology import TopologyError
from civitas.topology.transport_block import options_of


class CarrierOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int = Field(default=7, description="A port.")
    secret: SecretStr | None = Field(default=None, description="A secret.")


CARRIER = TransportSpec("carrier", "Carries", factory=lambda *_: None, options=CarrierOptions)
BARE = TransportSpec("carrier", "Carries", factory=lambda *_: None)


@pytest.fixture
def read(tmp_path: Path):
    def read(
        text: str, spec: TransportSpec = CARRIER, overlays: Sequence[Path] = ()
    ) -> BaseModel | None:
        file = tmp_path / "topology.yaml"
        file.write_text(text)
        return options_of(file, spec, "Civitas_Carrier", overlays)

    return read


def test_the_options_of_the_block_are_read_with_their_variables(read, monkeypatch):
    monkeypatch.setenv("PORT", "9")
    options = read("transport: {type: carrier, port: '${PORT}', secret: '${SECRET:-none}'}")
    assert options == CarrierOptions(port=9, secret=SecretStr("none"))


def test_nothing_else_of_the_file_has_to_be_right(read):
    text = """
    transport: {type: carrier}
    unknown: key
    supervision: {name: root, children: [{agent: {name: a b, type: no.such.Class, x: "${NO}"}}]}
    """
    assert read(text) == CarrierOptions()


@pytest.mark.parametrize("kind", ["carrier", "civitas-carrier:carrier", "civitas.carrier:carrier"])
def test_the_type_may_name_the_distribution_in_any_spelling(read, kind):
    assert read(f"transport: {{type: '{kind}'}}") == CarrierOptions()


def test_a_transport_without_options_has_none(read):
    assert read("transport: {type: carrier}", BARE) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("transport: {type: other}", "; its type is 'other'"),
        ("transport: {type: 'someone-elses:carrier'}", "; its type is 'someone-elses:carrier'"),
        ("transport: {port: 1}", ""),
        ("transport: carrier", ""),
        ("supervision: {name: root}", ""),
    ],
)
def test_the_block_of_another_transport_or_none_is_refused(read, text, found):
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert str(caught.value).endswith(f"topology.yaml has no transport of type carrier{found}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("transport:\n  type: carrier\n  prot: 1", "topology.yaml:3: transport.prot: .* 'port'"),
        ("transport: {type: carrier, port: many}", "transport.port: "),
        ("transport: {type: carrier, port: '${NOT_SET}'}", "transport.port: .*NOT_SET"),
        ("transport: {type: carrier}\ntransport: {}", "stands here already"),
        ("transport: {", "topology.yaml"),
        ("- a list", "topology.yaml:1: a topology is a mapping"),
    ],
)
def test_what_is_wrong_with_the_block_is_told_with_its_place(read, text, reason):
    with pytest.raises(TopologyError, match=reason):
        read(text)


def test_overlays_and_the_environment_change_the_block(read, tmp_path, monkeypatch):
    overlay = tmp_path / "prod.yaml"
    overlay.write_text("transport: {secret: of-prod}\nsupervision: {children: [agent: {name: x}]}")
    monkeypatch.setenv("CIVITAS_SET", "transport.port=7\nsupervision.name=x")

    options = read("transport: {type: carrier, port: 1}", overlays=[overlay])

    assert options == CarrierOptions(port=7, secret=SecretStr("of-prod"))
    monkeypatch.setenv("CIVITAS_TRANSPORT", "other")
    with pytest.raises(ConfigurationError, match="its type is 'other'"):
        read("transport: {type: carrier}")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(TopologyError, match="can't be read: No such file"):
        options_of(tmp_path / "none.yaml", CARRIER, "civitas-carrier")
