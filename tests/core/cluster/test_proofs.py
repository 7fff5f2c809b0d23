"""Proofs: who has heard what was said to a node can show it, for a while, and nobody else can."""

from __future__ import annotations

import pytest

from civitas._cluster.proofs import PERIOD, Proofs, proof_of
from civitas._cluster.protocol import Hello, Ping
from core.cluster.one_node import PRIMARY, WORKER, info

NOW = 1000.0


@pytest.mark.parametrize("departed", [False, True])
def test_a_cookie_proves_the_node_that_it_was_given_to_and_no_other(departed: bool) -> None:
    proofs = Proofs()
    cookie = proofs.cookie(WORKER.key, NOW, departed=departed)
    assert proofs.hold(cookie, WORKER.key, NOW, departed=departed)
    assert not proofs.hold(cookie, WORKER.key, NOW, departed=not departed)
    for other in (PRIMARY, info("44", generation=4)):
        assert not proofs.hold(cookie, other.key, NOW, departed=departed)
    assert not Proofs().hold(cookie, WORKER.key, NOW, departed=departed)


def test_a_nonce_shows_that_a_node_was_heard_and_is_no_cookie() -> None:
    proofs = Proofs()
    nonce = proofs.nonce(NOW)
    assert proofs.repeats_nonce(nonce, NOW)
    assert not Proofs().repeats_nonce(nonce, NOW)
    assert not proofs.hold(nonce, WORKER.key, NOW, departed=False)
    assert not proofs.repeats_nonce(proofs.cookie(WORKER.key, NOW, departed=False), NOW)


def test_proofs_run_out() -> None:
    proofs = Proofs()
    nonce, cookie = proofs.nonce(NOW), proofs.cookie(WORKER.key, NOW, departed=False)
    for later, valid in ((PERIOD, True), (2 * PERIOD, False)):
        assert proofs.repeats_nonce(nonce, NOW + later) == valid
        assert proofs.hold(cookie, WORKER.key, NOW + later, departed=False) == valid


@pytest.mark.parametrize("proof", [b"", b"x", b"x" * 8, b"x" * 1000])
def test_what_was_not_given_is_no_proof(proof: bytes) -> None:
    assert not Proofs().hold(proof, WORKER.key, NOW, departed=False)
    assert not Proofs().repeats_nonce(proof, NOW)


def test_a_message_says_its_proof_where_it_has_one() -> None:
    assert proof_of(Hello(WORKER, 0.0, proof=b"p")) == b"p"
    assert proof_of(Ping(1, 0.0)) == b""
