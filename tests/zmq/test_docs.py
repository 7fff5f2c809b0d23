"""The page on this transport says what its code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_command

from civitas_zmq.addresses import MAX_IPC_PATH
from civitas_zmq.cli import SECRET_VARIABLE, app
from civitas_zmq.curve import make_pair
from civitas_zmq.options import CurveOptions, ZMQOptions

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "zmq.md").read_text(encoding="utf-8")
README = (DOCS.parent / "civitas-zmq" / "README.md").read_text(encoding="utf-8")


def tables(heading: str) -> list[list[tuple[str, str]]]:
    """Return the first two cells of each row, for each table of a section, without code marks."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    lines = [[line.replace("`", "").split("|") for line in each.splitlines()[2:]] for each in found]
    return [[(cells[1].strip(), cells[2].strip()) for cells in each] for each in lines]


def shown(options: type[BaseModel]) -> list[tuple[str, str]]:
    def default(value: object) -> str:
        return "none" if value in (None, ()) else str(value).lower()

    return [
        (name, "required" if field.is_required() else default(field.default))
        for name, field in options.model_fields.items()
    ]


@pytest.mark.parametrize(("number", "options"), [(0, ZMQOptions), (1, CurveOptions)])
def test_the_tables_have_every_option_with_its_default(number, options):
    assert tables("Options")[number] == shown(options)


def test_the_table_of_the_proxy_has_every_option_of_the_command():
    parameters = get_command(app).commands["proxy"].params
    expected = [(", ".join(each.opts), each.default or "") for each in parameters]
    assert tables("A proxy of its own") == [expected]
    assert SECRET_VARIABLE in PAGE


def test_the_limit_of_a_path_is_the_one_that_is_checked():
    assert f"at most {MAX_IPC_PATH} bytes" in PAGE


@pytest.mark.parametrize("text", [PAGE, README], ids=["page", "readme"])
def test_every_transport_block_that_is_shown_is_right(text):
    blocks = re.findall(r"```yaml.*?\n(.*?)```", text, re.DOTALL)
    assert blocks
    pair = make_pair()
    for block in blocks:
        filled = re.sub(r"\$\{\w+SECRET\w+(:-)?\}", lambda _: pair.secret_key, block)
        filled = re.sub(r"\$\{\w+(:-)?\}", lambda _: pair.public_key, filled)
        options = yaml.safe_load(filled)["transport"]
        assert options.pop("type") == "zmq"
        ZMQOptions(**options)
