"""Rivals: who has a name already that a new package is to have. A warning, no refusal."""

from __future__ import annotations

from collections.abc import Iterable

from civitas.plugins.catalog import Candidate, known_distributions, normalise, usable
from civitas.scaffold.identity import Identity


def rivals_of(identity: Identity, installed: Iterable[Candidate]) -> list[str]:
    """Return a sentence for each distribution that offers a plugin of this kind and name.

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
    return [_sentence(identity, owner) for _, owner in sorted(owners.items())]


def _sentence(identity: Identity, owner: str) -> str:
    what = f"{owner} offers the {identity.kind.value} {identity.name!r} already"
    if normalise(owner) == normalise(identity.distribution):
        return (
            f"{what}, and a distribution of that name can't be published twice: choose another "
            f"NAME, or --distribution"
        )
    return (
        f"{what}: where both are installed, a topology has to say "
        f'"{identity.distribution}:{identity.name}"'
    )
