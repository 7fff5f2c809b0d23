"""Plots as SVG, in the classes of `docs/assets/extra.css`, so that they follow its colours.

An item has its label and its value in one line and its bar below it: so a plot fits a phone, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 480
_LEFT: Final = 10
_SPAN: Final = WIDTH - 2 * _LEFT
_ITEM: Final = 38
_HEAD: Final = 30
_BAR: Final = 10


class Item(NamedTuple):
    """One value of a plot.

    Attributes:
        label: what it is of.
        value: how long the bar is.
        text: the value in words.
        mark: where a line across the bar stands; None for none.
        style: the class of the bar besides `bar`.
    """

    label: str
    value: float
    text: str
    mark: float | None = None
    style: str = ""


class Group(NamedTuple):
    """Items that belong together, below a heading; it may be empty."""

    heading: str
    items: Sequence[Item]


def plot(description: str, groups: Sequence[Group], *, logarithmic: bool = False) -> str:
    """Return a plot with a horizontal bar for each item, all on one scale.

    Args:
        description: what is shown, for who can't see it.
        groups: the items.
        logarithmic: show a dot for a value, on an axis of powers of ten, instead of a bar.
    """
    scale = _scale([item for group in groups for item in group.items], logarithmic=logarithmic)
    parts: list[str] = []
    y = 0
    for group in groups:
        if group.heading:
            parts.append(
                f'<text class="heading" x="{_LEFT}" y="{y + 20}">{_safe(group.heading)}</text>'
            )
            y += _HEAD
        for item in group.items:
            parts += _drawn(item, y, scale, logarithmic=logarithmic)
            y += _ITEM
    height = y + 4
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{_safe(description)}" style="max-width: {WIDTH}px">'
    )
    return "\n".join([head, *(f"  {part}" for part in parts), "</svg>"])


class _Scale(NamedTuple):
    least: float
    most: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """Return where on the axis a value is, in pixels."""
        if self.logarithmic:
            least, most = math.log10(self.least), math.log10(self.most)
            share = (math.log10(value) - least) / (most - least)
        else:
            share = value / self.most
        return round(_LEFT + share * _SPAN, 1)


def _scale(items: Iterable[Item], *, logarithmic: bool) -> _Scale:
    values = list(_values(items))
    if not logarithmic:
        return _Scale(0, max(values) * 1.02, logarithmic=False)
    least = 10 ** math.floor(math.log10(min(values)))
    return _Scale(least, 10 ** math.ceil(math.log10(max(values) * 1.01)), logarithmic=True)


def _values(items: Iterable[Item]) -> Iterator[float]:
    for item in items:
        yield item.value
        if item.mark is not None:
            yield item.mark


def _drawn(item: Item, y: int, scale: _Scale, *, logarithmic: bool) -> Iterator[str]:
    yield f'<text class="small" x="{_LEFT}" y="{y + 12}">{_safe(item.label)}</text>'
    yield (
        f'<text class="small value" text-anchor="end" x="{WIDTH - _LEFT}" y="{y + 12}">'
        f"{_safe(item.text)}</text>"
    )
    top, end = y + 18, scale.at(item.value)
    yield f'<rect class="track" x="{_LEFT}" y="{top}" width="{_SPAN}" height="{_BAR}" rx="2"/>'
    style = f"bar {item.style}".strip()
    if logarithmic:
        yield f'<circle class="{style}" cx="{end}" cy="{top + _BAR / 2}" r="6"/>'
    else:
        width = round(max(end - _LEFT, 1), 1)
        size = f'width="{width}" height="{_BAR}"'
        yield f'<rect class="{style}" x="{_LEFT}" y="{top}" {size} rx="2"/>'
    if item.mark is not None:
        at = scale.at(item.mark)
        yield f'<line class="mark" x1="{at}" x2="{at}" y1="{top - 3}" y2="{top + _BAR + 3}"/>'


def _safe(text: str) -> str:
    return escape(text, quote=True)
