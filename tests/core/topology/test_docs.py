"""Every block and key of a topology is described: the reference and editors show the words."""

from __future__ import annotations

import pytest

from civitas.topology.model import BLOCKS, Block


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name or "top" for name, _ in BLOCKS])
def test_every_key_is_described(name: str, block: type[Block]) -> None:
    assert block.__doc__
    assert all(field.description for field in block.model_fields.values())
