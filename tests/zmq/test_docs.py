"""The page on this transport says what its code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from civitas_zmq.addresses import MAX_IPC_PATH
from civitas_zmq.cli import SECRET_VARIABLE
from civitas_zmq.keys import make_pair
from civitas_zmq.options import ZMQOptions

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "zmq.md").read_text(encoding="utf-8")
README = (DOCS.parent / "civitas-zmq" / "README.md").read_text(encoding="utf-8")


def test_the_variable_of_the_proxy_s_secret_is_named():
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
