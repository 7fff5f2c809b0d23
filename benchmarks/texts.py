"""Texts of rows: numbers, spreads and targets as a table shows them."""

from __future__ import annotations

from benchmarks.harness import Row, Spread


def digits(value: float) -> str:
    """Return a number with three digits that count, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread_text(spread: Spread | None, unit: str = "") -> str:
    """Return a median with its quartiles, where they differ."""
    if spread is None:
        return ""
    if unit == "us" and spread.median >= 1000:
        spread, unit = Spread(*(each / 1000 for each in spread)), "ms"
    low, median, high = map(digits, spread)
    around = f" ({low}\N{EN DASH}{high})" if low != high else ""
    return f"{median}{f' {unit}' if unit else ''}{around}"


def target_text(row: Row) -> str:
    """Return the target of a row; nothing for a row without one."""
    if row.target is None:
        return ""
    if row.ratio is not None:
        return f"{row.target:.2f}"
    return f"{'at least ' if row.is_rate else ''}{row.target:.3g} {row.unit}"


def met_text(row: Row) -> str:
    """Return whether the target is met; nothing for a row without one."""
    return {True: "yes", False: "no", None: ""}[row.met]
