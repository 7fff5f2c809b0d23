"""Proofs: whether who speaks as a node hears what is said to that node. No I/O.

Theory. A frame of the network can name any sender. So a node that is not known is neither believed
nor remembered before it has shown that it hears what is said at its address: it has to repeat
random bytes that only went there. Nothing is kept for it until then.

    stranger                          this node
    Hello(nonce of the stranger)  ->
                                  <-  Challenge(cookie for this stranger, proof: the nonce)
    Hello(all agents,
          proof: the cookie)      ->  lets it in, or not
                                  <-  Welcome, Contested or Refused (proof: the nonce)

The two random values are made, not kept (as TCP does it with SYN cookies, and DTLS with those of
RFC 6347, section 4.2.1): a keyed hash, by a secret of this node, of the period of time, and for a
cookie also of the stranger's id and generation, and of whether it has said goodbye. So what was
recorded earlier proves nothing later, and a goodbye in the name of a node that lives does not keep
it out: it can prove itself again, and what its real goodbye has overtaken can not.

So two things can be proved. Who repeats a cookie hears what is said at its own address: by that a
hello lets a node in. Who repeats a nonce hears what is said to everyone: that is enough to answer.
A proof says that somebody listens. It does not say who: for that, see `cluster_key`.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final

from civitas import _platform as platform

PERIOD: Final = 30.0
"""Seconds for which a node makes the same proofs; it takes those of the period before, too."""

_SIZE: Final = 8


class Proofs:
    """The nonces and the cookies of one node. `now` is its monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._secret = platform.random_bytes(32)

    def nonce(self, now: float) -> bytes:
        """Return what others repeat in answers to what this node says to everyone."""
        return self._made(b"", now // PERIOD)

    def cookie(self, stranger: bytes, now: float, *, departed: bool) -> bytes:
        """Return what a stranger, a node by its key, repeats to be let in."""
        return self._made(stranger + b"\1" if departed else stranger, now // PERIOD)

    def hold(self, proof: bytes, stranger: bytes, now: float, *, departed: bool) -> bool:
        """Return whether a proof is a cookie that this node has given to a stranger lately."""
        given = (self.cookie(stranger, then, departed=departed) for then in (now, now - PERIOD))
        return any(compare_digest(proof, each) for each in given)

    def repeats_nonce(self, proof: bytes, now: float) -> bool:
        """Return whether a proof is what this node has lately said to everyone."""
        return any(compare_digest(proof, self.nonce(then)) for then in (now, now - PERIOD))

    def _made(self, what: bytes, period: float) -> bytes:
        text = what + int(period).to_bytes(8, "big", signed=True)
        return blake2b(text, key=self._secret, digest_size=_SIZE).digest()


def proof_of(message: Any) -> bytes:
    """Return the proof in a message; empty where it has none."""
    proof: bytes = getattr(message, "proof", b"")
    return proof
