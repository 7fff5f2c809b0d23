"""Collisions: keys that anybody can choose so that they fall on one another in a dict."""

from __future__ import annotations

import random


def colliding_keys(bits: int) -> list[int]:
    """Return integers that a dict with 2**bits slots takes quadratic time for.

    A dict looks into slot after slot: `i = 5 * i + perturb + 1`, where `perturb` is what is left of
    the hash, shifted by 5 each time. When nothing is left of it, all keys follow one circle of the
    slots. So half of the circle is filled, and each other key comes to it by filled slots only, and
    then follows it to the end.
    """
    mask = (1 << bits) - 1
    circle = [0]
    for _ in range(mask >> 1):
        circle.append((5 * circle[-1] + 1) & mask)
    filled = set(circle)
    entrance = set(circle[: len(circle) // 2])
    chance = random.Random(0)
    others: set[int] = set()
    while len(others) < (2 << bits) // 3 - len(circle):
        key = circle[int(chance.random() * len(circle))] | int(chance.random() * 256) << bits
        slot, perturb = key & mask, key
        while perturb and slot in filled:
            perturb >>= 5
            slot = (5 * slot + perturb + 1) & mask
        if not perturb and slot in entrance and key > mask:
            others.add(key)
    return circle + list(others)
