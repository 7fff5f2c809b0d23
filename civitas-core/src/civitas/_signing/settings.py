"""Signing: which key a node's settings give, what it signs, and why it drops what it refuses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from civitas.errors import ConfigurationError
from civitas.plugins import Capabilities

if TYPE_CHECKING:
    from civitas._signing.signatures import ClusterKey

SignedFrames: TypeAlias = Literal["control", "all"]
"""Which frames of a node are signed: those at system addresses, or all."""

VARIABLE: Final = "CIVITAS_CLUSTER_KEY"
"""The environment variable that has the key of a node whose settings give none."""


SIGNED_FRAME: Final = "frames are signed here, and this node has no cluster_key"
"""Why a node without a key drops the frames of nodes with one."""

NOT_AUTHENTICATED: Final = "not authenticated"
"""Why a node drops a frame that is not signed with its key."""

REPLAYED: Final = "replayed frame"
"""Why it drops one that is signed with its key, and is not new."""

FORMER_NODE: Final = "sent to a former node of its agent"
"""Why it drops one that its sender has not sent to this node."""

SHORTEST_KEY: Final = 16
"""Characters of a key at least."""

MOST_KEYS: Final = 2
"""The one that signs, and another that is still, or already, valid."""

HOW_TO_MAKE: Final = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


@dataclass(frozen=True, slots=True)
class Signing:
    """How the frames of a node are signed: not at all where there is no key.

    Attributes:
        key: what they are signed with; it shows nothing of its secrets.
        everything: whether agents' messages and replies are signed, too.
    """

    key: ClusterKey | None = None
    everything: bool = False

    def check(self, capabilities: Capabilities | None) -> None:
        """See that a transport with these claims, None for none, can have its frames signed.

        Raises:
            ConfigurationError: it can't, or there is no key for what is to be signed.
        """
        if capabilities is None and self.key is not None:
            raise ConfigurationError(
                f"a cluster_key (or {VARIABLE}) is given, and this transport declares no "
                f"capabilities: it may have a reply scheme of its own, which can't be signed; "
                f"give it the attribute `capabilities`, or leave the key out"
            )
        stays_here = capabilities is not None and not capabilities.cross_process
        if self.everything and self.key is None and not stays_here:
            raise ConfigurationError(
                f"signed_frames is 'all', and there is no key to sign with: give cluster_key, or "
                f"set {VARIABLE}"
            )

    def applies_to(self, capabilities: Capabilities | None) -> bool:
        """Return whether frames of a transport with these claims are signed."""
        return self.key is not None and capabilities is not None and capabilities.cross_process


def signing_of(
    cluster_key: str | Iterable[str] | None = None,
    signed_frames: SignedFrames = "control",
    variables: Mapping[str, str] | None = None,
) -> Signing:
    """Return what settings come to.

    Args:
        cluster_key: a secret, or two of them: the first signs, both verify. White space separates
            secrets too. None, or nothing in it: the secrets in CIVITAS_CLUSTER_KEY, if it is set.
        signed_frames: `control` or `all`.
        variables: the environment, by default that of the process.

    Raises:
        ConfigurationError: a secret is too short, there are too many, or another value is wrong.
    """
    if signed_frames not in get_args(SignedFrames):
        raise ConfigurationError(f"signed_frames is 'control' or 'all', not {signed_frames!r:.40}")
    texts = (cluster_key,) if isinstance(cluster_key, str) else tuple(cluster_key or ())
    if not all(isinstance(each, str) for each in texts):
        raise ConfigurationError("a cluster_key is text, or a list of two texts")
    secrets = [secret for text in texts for secret in text.split()]
    where = ""
    if not secrets:
        secrets = (os.environ if variables is None else variables).get(VARIABLE, "").split()
        where = f"{VARIABLE}: "
    problem = _key_problem(secrets) if secrets else None
    if problem is not None:
        raise ConfigurationError(where + problem)
    return Signing(_key_of(secrets) if secrets else None, signed_frames == "all")


def _key_of(secrets: list[str]) -> ClusterKey:
    from civitas._signing.signatures import (
        ClusterKey,  # loads the parts of OpenSSL, which others need not
    )

    return ClusterKey(*secrets)


def _key_problem(secrets: list[str]) -> str | None:
    """Return what is wrong with the secrets of a key; None when nothing is. No secret is shown."""
    if not 1 <= len(secrets) <= MOST_KEYS:
        return f"a cluster_key is one secret, or two while it is changed, not {len(secrets)}"
    if any(len(each) < SHORTEST_KEY for each in secrets):
        return (
            f"a cluster_key has at least {SHORTEST_KEY} characters, and no white space; "
            f"make one with: {HOW_TO_MAKE}"
        )
    if len(set(secrets)) < len(secrets):
        return "the two secrets of a cluster_key are the same one"
    return None
