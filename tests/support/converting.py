"""Converting payloads in tests, without an agent."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any

import pytest

from civitas._typed.converting import converter_of
from civitas._typed.refusals import ValueRefusedError


def converted(cls: Any, payload: Any) -> Any:
    """Return what a model makes of a payload."""
    return converter_of(cls, "it")(payload)


def refusal(cls: Any, payload: Any) -> str:
    """Return why a model refuses a payload."""
    with pytest.raises(ValueRefusedError) as caught:
        converted(cls, payload)
    return str(caught.value)


def of(annotation: Any) -> type:
    """Return a model with one field `x`."""
    return make_dataclass("M", [("x", annotation)])
