"""What is shown of the messages that an agent has in hand."""

from __future__ import annotations

import pytest

from civitas.cli.top.cells import in_hand
from civitas.cli.top.frames import InHand


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (None, ""),
        (InHand("order", "1"), "order"),
        (InHand("order", "1", 0.25), "order, 250 ms"),
        (InHand("order", "1", 0.25, at_least=True), "order, over 250 ms"),
        (InHand("order", "1", 0.25, count=3, most=8), "order, 250 ms, 3 of 8"),
    ],
)
def test_of_several_messages_the_oldest_is_shown_and_how_many_there_are(
    message: InHand | None, text: str
) -> None:
    assert in_hand(message) == text
