"""Signatures: who has no key makes no frame, changes none, moves none and repeats none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civitas import envelope
from civitas._signing.signatures import ClusterKey, Freshness, ReplayGuard, Verdict, sender_of
from civitas.envelope import ORIGIN_AT, TRAILER_BYTES, Origin
from civitas.errors import FrameError, SignedFrameError, UnauthenticatedFrameError

SECRET, OTHER = "a secret of a cluster", "a secret of another one"
KEY = ClusterKey(SECRET)
NODE = Origin(b"12345678", 7)

addresses = st.text(min_size=1, max_size=60)
counters = st.integers(0, 2**64 - 1)
frames = st.builds(
    lambda body, name, kind, reply_to, number, attempt: envelope.seal(
        body, name, NODE, kind=kind, reply_to=reply_to, number=number, attempt=attempt
    ),
    st.binary(max_size=300),
    st.sampled_from(["msgpack", "json", "x"]),
    st.integers(0, 2),
    st.sampled_from(["", "_reply.abc.1"]),
    counters,
    st.integers(0, 255),
)


def refuses(key: ClusterKey, address: str, frame: bytes) -> bool:
    try:
        key.at(address).verify(frame)
    except UnauthenticatedFrameError:
        return True
    return False


@given(addresses, frames, counters)
def test_a_signed_frame_comes_out_as_it_went_in(address: str, frame: bytes, counter: int) -> None:
    signed = KEY.at(address).sign(frame, counter)
    assert KEY.at(address).verify(signed) == (frame, counter)
    assert envelope.unsigned(signed) == frame


@given(addresses, frames, counters)
def test_a_transport_may_look_into_a_signed_frame_where_it_looks_into_others(
    address: str, frame: bytes, counter: int
) -> None:
    signed = KEY.at(address).sign(frame, counter)
    assert len(signed) == len(frame) + TRAILER_BYTES
    assert signed[ORIGIN_AT] == frame[ORIGIN_AT]
    assert signed[3 : len(frame)] == frame[3:]
    assert signed[2] == frame[2] | envelope.SIGNED


@settings(max_examples=40)
@given(addresses, frames, counters, st.data())
def test_a_frame_of_which_a_bit_was_turned_is_refused(
    address: str, frame: bytes, counter: int, data: st.DataObject
) -> None:
    signed = KEY.at(address).sign(frame, counter)
    at = data.draw(st.integers(0, len(signed) * 8 - 1))
    turned = bytearray(signed)
    turned[at // 8] ^= 1 << at % 8
    assert refuses(KEY, address, bytes(turned))


def test_there_is_no_bit_of_a_frame_that_can_be_turned() -> None:
    signed = KEY.at("a").sign(envelope.seal(b"body", "json", NODE, reply_to="_reply.a.1"), 3)
    for at in range(len(signed) * 8):
        turned = bytearray(signed)
        turned[at // 8] ^= 1 << at % 8
        assert refuses(KEY, "a", bytes(turned)), at


@given(addresses, addresses, frames)
def test_a_frame_is_refused_at_another_address(first: str, second: str, frame: bytes) -> None:
    assert refuses(KEY, second, KEY.at(first).sign(frame, 1)) == (first != second)


@given(frames, st.integers(1, 400))
def test_a_frame_that_was_cut_is_refused(frame: bytes, cut: int) -> None:
    signed = KEY.at("a").sign(frame, 1)
    assert refuses(KEY, "a", signed[: -min(cut, len(signed))])
    assert refuses(KEY, "a", signed[min(cut, len(signed)) :])
    assert refuses(KEY, "a", signed + b"x" * cut)


@given(st.binary(max_size=200), frames)
def test_what_is_not_signed_is_refused(noise: bytes, frame: bytes) -> None:
    assert refuses(KEY, "a", noise)
    assert refuses(KEY, "a", frame)
    assert refuses(KEY, "a", frame + bytes(TRAILER_BYTES))


@given(frames)
def test_a_frame_of_another_key_is_refused(frame: bytes) -> None:
    assert refuses(KEY, "a", ClusterKey(OTHER).at("a").sign(frame, 1))


@given(frames, st.integers(0, 255))
def test_a_durable_transport_may_set_the_attempt_and_nothing_else(
    frame: bytes, attempt: int
) -> None:
    stored = KEY.at("a", attempt_may_change=True)
    given_again = envelope.with_attempt(stored.sign(frame, 1), attempt)
    assert stored.verify(given_again) == (envelope.with_attempt(frame, attempt), 1)
    with pytest.raises(UnauthenticatedFrameError):
        stored.verify(given_again[:4] + b"\xff\xff" + given_again[6:])


def test_the_first_of_two_keys_signs_and_both_verify() -> None:
    frame = envelope.seal(b"body", "json", NODE)
    both = ClusterKey(OTHER, SECRET)
    assert both.at("a").verify(KEY.at("a").sign(frame, 5)) == (frame, 5)
    assert ClusterKey(OTHER).at("a").verify(both.at("a").sign(frame, 6)) == (frame, 6)
    assert refuses(KEY, "a", both.at("a").sign(frame, 7))


def test_a_key_shows_nothing_of_its_secret() -> None:
    assert repr(KEY) == str(KEY) == "ClusterKey(***)"
    shown = repr([getattr(KEY, name) for name in ClusterKey.__slots__])
    assert SECRET not in shown
    assert SECRET.encode().hex() not in shown


def test_a_batch_is_signed_as_a_whole_and_is_of_one_node() -> None:
    parts = [envelope.seal(body, "json", NODE) for body in (b"one", b"two")]
    signed = KEY.at("a").sign(envelope.batch(parts), 1)
    assert KEY.at("a").verify(signed) == (envelope.batch(parts), 1)
    assert sender_of(envelope.batch(parts)) == parts[0][ORIGIN_AT]
    stranger = envelope.seal(b"three", "json", Origin(b"87654321", 7))
    for wrong in (
        envelope.batch([*parts, stranger]),
        envelope.batch(parts)[:-1],
        envelope.batch([]),
        envelope.batch([b"short"]),
    ):
        with pytest.raises(FrameError):
            KEY.at("a").sign(wrong, 2)
        with pytest.raises(FrameError):
            sender_of(wrong)


@pytest.mark.parametrize(
    "noise", [b"", b"\xc1", b"no frame at all, and no key either", b"\xc1\x01\xff"]
)
def test_only_a_frame_is_signed(noise: bytes) -> None:
    with pytest.raises(FrameError):
        KEY.at("a").sign(noise, 1)


def test_whoever_reads_a_body_refuses_a_frame_that_is_still_signed() -> None:
    signed = KEY.at("a").sign(envelope.seal(b"body", "json", NODE), 1)
    for read in (envelope.open, envelope.contents, envelope.reply_to_of):
        with pytest.raises(SignedFrameError, match="this node has no cluster_key"):
            read(signed)


def accepted(
    guard: ReplayGuard, sender: bytes, address: str, counter: int, rule: Freshness
) -> bool:
    return guard.judge(sender, address, counter, rule) is Verdict.NEW


class TestReplays:
    A, B = b"node a, 1...", b"node b, 1..."

    @given(st.lists(st.integers(0, 50), max_size=60))
    def test_each_counter_is_accepted_once_and_in_its_order(self, seen: list[int]) -> None:
        guard, last = ReplayGuard(), -1
        for counter in seen:
            assert accepted(guard, self.A, "_agency.nodes", counter, Freshness.ONCE) == (
                counter > last
            )
            last = max(last, counter)

    @given(
        st.lists(
            st.tuples(st.sampled_from([A, B]), st.sampled_from("xyz"), st.integers(0, 30)),
            max_size=80,
        )
    )
    def test_no_frame_of_anyone_at_any_address_is_accepted_twice(self, seen) -> None:
        guard = ReplayGuard(addresses=2)
        for sender in (self.A, self.B):
            assert accepted(guard, sender, "_agency.data.me", 0, Freshness.PROBE)
        new = [each for each in seen if accepted(guard, each[0], each[1], each[2], Freshness.AGENT)]
        assert len(set(new)) == len(new)

    def test_addresses_and_senders_have_counters_of_their_own(self) -> None:
        guard = ReplayGuard(floors=False)
        for sender in (self.A, self.B):
            for address in ("x", "y"):
                assert accepted(guard, sender, address, 5, Freshness.AGENT)
                assert not accepted(guard, sender, address, 5, Freshness.AGENT)

    def test_an_agent_takes_frames_of_those_only_who_have_probed_its_node(self) -> None:
        guard = ReplayGuard()
        assert not accepted(guard, self.A, "agent", 5, Freshness.AGENT)
        assert accepted(guard, self.A, "_agency.data.me", 6, Freshness.PROBE)
        assert not accepted(guard, self.A, "agent", 5, Freshness.AGENT)
        assert accepted(guard, self.A, "agent", 7, Freshness.AGENT)
        assert not accepted(guard, self.B, "agent", 9, Freshness.AGENT)

    def test_what_is_old_is_told_from_what_was_sent_to_a_former_node(self) -> None:
        guard = ReplayGuard()
        assert guard.judge(self.A, "agent", 5, Freshness.AGENT) is Verdict.FORMER
        guard.judge(self.A, "_agency.data.me", 6, Freshness.PROBE)
        assert guard.judge(self.A, "agent", 5, Freshness.AGENT) is Verdict.FORMER
        assert guard.judge(self.A, "agent", 7, Freshness.AGENT) is Verdict.NEW
        assert guard.judge(self.A, "agent", 7, Freshness.AGENT) is Verdict.REPLAYED

    def test_a_later_probe_does_not_raise_the_floor(self) -> None:
        guard = ReplayGuard()
        assert accepted(guard, self.A, "_agency.data.me", 6, Freshness.PROBE)
        assert accepted(guard, self.A, "_agency.data.me", 9, Freshness.PROBE)
        assert accepted(guard, self.A, "agent", 8, Freshness.AGENT)

    def test_what_a_durable_transport_gives_again_is_accepted(self) -> None:
        guard = ReplayGuard()
        for _ in range(3):
            assert accepted(guard, self.A, "agent", 5, Freshness.STORED)

    def test_of_too_many_senders_the_one_that_was_silent_longest_is_forgotten(self) -> None:
        guard = ReplayGuard(senders=2)
        for sender in (self.A, self.B):
            accepted(guard, sender, "x", 5, Freshness.ONCE)
        accepted(guard, self.A, "x", 6, Freshness.ONCE)
        accepted(guard, b"node c, 1...", "x", 1, Freshness.ONCE)
        assert len(guard) == 2
        assert not accepted(guard, self.A, "x", 6, Freshness.ONCE)

    def test_agents_that_are_forgotten_leave_the_highest_of_their_counters_as_the_floor(
        self,
    ) -> None:
        guard = ReplayGuard(addresses=3)
        accepted(guard, self.A, "_agency.data.me", 0, Freshness.PROBE)
        for counter in range(1, 50):
            assert accepted(guard, self.A, f"agent {counter}", counter, Freshness.AGENT)
        for counter in range(1, 50):
            assert not accepted(guard, self.A, f"agent {counter}", counter, Freshness.AGENT)
