"""Rivals: who has a name already that a new package is to have, what comes of it, what to do."""

from __future__ import annotations

from collections.abc import Iterable

from civitas._authoring.scaffold.identity import Identity
from civitas.plugins.catalog import Candidate, known_distributions, normalise, usable


def rivals_of(identity: Identity, installed: Iterable[Candidate]) -> list[str]:
    """Return a warning for each distribution that offers a plugin of this kind and name.

    Args:
        identity: the names of the new package.
        installed: what `catalog.scan` found.
    """
    owners = {
        normalise(each.distribution): each.distribution
        for each in usable(installed, identity.kind)
        if each.name == identity.name
    }
    known = known_distributions(identity.kind).get(identity.name)
    if known is not None:
        owners[normalise(known)] = known
    return [_warning(identity, owner) for _, owner in sorted(owners.items())]


def _warning(identity: Identity, owner: str) -> str:
    what = f"{owner} offers the {identity.kind.value} {identity.name!r} already"
    if normalise(owner) == normalise(identity.distribution):
        return (
            f"{what}: yours would have the same name for pip, which replaces the one by the "
            f"other, and can't be published. Choose another NAME, or another --distribution"
        )
    return (
        f"{what}: where both are installed, a topology that names {identity.name!r} ends with "
        f"the error plugin-conflict, until it says "
        f'"{identity.distribution}:{identity.name}" or "{owner}:{identity.name}". Choose another '
        f"NAME if this is not what you want"
    )
