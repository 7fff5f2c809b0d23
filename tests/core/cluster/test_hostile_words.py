"""Whatever strangers and members say, and whatever is said again, ends no live node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st

from civitas._cluster.codec import decode, encode
from civitas._cluster.events import Evicted, NodeLost, Received
from civitas._cluster.proofs import proof_of
from civitas._cluster.protocol import (
    AgentStates,
    Changed,
    Command,
    ControlMessage,
    Hello,
    Left,
    NodeInfo,
    Piece,
    Refused,
    Welcome,
)
from civitas.envelope import Origin
from civitas.errors import CivitasError
from core.cluster.simulation import SimulatedNode, System

EXAMPLES: Final = int(os.environ.get("CIVITAS_WORDS", "30"))

QUIET: Final = 15.0
"""Seconds after which a node knows that it has not settled beside another one."""

IDS: Final = {"P": "aa" * 8, "A": "11" * 8, "B": "22" * 8, "X": "00" * 8, "Y": "ff" * 8}
"""The primary, two workers, and two nodes that are not there."""

HEARD: Final = b"heard"
"""Stands for the nonce of the node that is spoken to, which all can hear."""


class Word(NamedTuple):
    """Something that is said in the name of a node, to one or to everyone, after some seconds."""

    pause: float
    origin: Origin
    message: ControlMessage
    to: str | None


numbers = st.sampled_from([-1, 0, 1, 2, 7, 2**31, 2**63 - 1])
names = st.sampled_from(["a", "b", "x"])
statuses = st.sampled_from(["RUNNING", "CRASHED", "STOPPED", "INITIALIZING", "?"])
agents = st.dictionaries(names, st.tuples(statuses, numbers), max_size=3)
generations = st.sampled_from([0, 1, 2, 2**32 - 1])
infos = st.builds(
    NodeInfo,
    node=st.sampled_from([*IDS.values(), IDS["P"].upper()]),
    generation=generations,
    process=st.sampled_from(["supervisor", "A", "B", "X"]),
    role=st.sampled_from(["primary", "worker", "client", "?"]),
    agents=agents,
    settled=st.booleans(),
    leaving=st.booleans(),
    revision=numbers,
)
VALUES: Final[Mapping[Any, st.SearchStrategy[Any]]] = {
    bool: st.booleans(),
    bytes: st.sampled_from([b"", HEARD, b"other"]),
    float: st.sampled_from([-1e300, -1.0, 0.0, 0.1, 1e9, 1e300]),
    float | None: st.sampled_from([None, 0.0, -1e9, 1e300]),
    int: numbers,
    str: st.sampled_from(["", "a", "b", "start", "stop", "finish", "supervise", *IDS.values()]),
    tuple[str, ...]: st.lists(st.sampled_from(["a", "b", *IDS.values()]), max_size=3).map(tuple),
    AgentStates: agents,
    Mapping[str, Any]: st.just({}),
    NodeInfo: infos,
}


def messages(kind: type) -> st.SearchStrategy[ControlMessage]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: VALUES[hint] for name, hint in hints.items()})


def of(label: str, message: ControlMessage) -> ControlMessage:
    """Let a message be about who says it, as the rules demand, so that what follows is tried."""
    if isinstance(message, Hello | Welcome | Refused | Changed):
        return replace(message, info=replace(message.info, node=IDS[label]))
    return message


@st.composite
def spoken(draw: st.DrawFn, labels: str) -> Word:
    """Anything that nodes with these labels may say, or others in their name."""
    label = draw(st.sampled_from(labels))
    kind = draw(st.sampled_from([each for each in get_args(ControlMessage) if each is not Piece]))
    message = draw(messages(kind))
    if draw(st.booleans()):
        message = of(label, message)
    generation = 1 if label in "PAB" else draw(generations)
    if draw(st.booleans()) and hasattr(message, "info"):
        message = replace(message, info=replace(message.info, generation=generation))
    origin = Origin(bytes.fromhex(IDS[label]), generation)
    pause = draw(st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3]))
    return Word(pause, origin, message, draw(st.sampled_from([None, "P", "A", "B"])))


def long_settled() -> System:
    """A primary and two workers that have been in touch for a while."""
    system = System(1)
    system.joined(
        system.primary(node=IDS["P"]),
        system.add("A", "a", node=IDS["A"]),
        system.add("B", "b", node=IDS["B"]),
    )
    system.run(QUIET)
    return system


def say(system: System, word: Word) -> None:
    """Let it arrive; where it may have a proof, that of what the receiver has said to everyone."""
    system.run(word.pause)
    for label, node in system.nodes.items():
        if word.to not in {None, label}:
            continue
        message: Any = word.message
        if proof_of(message) == HEARD:
            message = replace(message, proof=nonce_of(system, label))
        frame = encode(message, word.origin)
        system.after(0.0, partial(hear, node, frame, word.to is None))


def nonce_of(system: System, label: str) -> bytes:
    said = (decode(frame)[1] for _, who, _, frame in reversed(system.said) if who == label)
    return next(message.nonce for message in said if isinstance(message, Hello))


def hear(node: SimulatedNode, frame: bytes, to_everyone: bool) -> None:
    with suppress(CivitasError):  # what is no message is counted as malformed
        origin, message = decode(frame)
        if origin != node.origin or isinstance(message, Left):
            node.take(frame, to_everyone)


def assert_unharmed(system: System, *own: str) -> None:
    """Nobody who lives has ended, was declared dead, or was told what to do by another node.

    `own` are the labels of those in whose name something was said: they may have gone by their own
    word.
    """
    system.run(12.0)
    for label, node in system.nodes.items():
        assert not node.heard(Evicted), label
        lost = {each.info.node for each in node.heard(NodeLost)} & {IDS[each] for each in "PAB"}
        assert lost <= {IDS[each] for each in own}
        commands = [each for each in node.heard(Received) if isinstance(each.message, Command)]
        assert not commands
        assert not node.fenced & {each.membership.info.key for each in system.nodes.values()}
    for label, node in system.nodes.items():
        others = {IDS[each] for each in "PAB" if each != label}
        assert others <= node.membership.peers.keys()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(spoken("XY"), min_size=20, max_size=40))
def test_strangers_end_nobody(words: list[Word]) -> None:
    system = long_settled()
    for word in words:
        say(system, word)
    assert_unharmed(system)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(spoken("B"), min_size=20, max_size=40))
def test_what_is_said_in_the_name_of_a_worker_harms_no_other_node(words: list[Word]) -> None:
    system = long_settled()
    for word in words:
        say(system, word)
    assert_unharmed(system, "B")


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.5]), st.integers(0, 10_000)),
        min_size=20,
        max_size=60,
    )
)
def test_what_was_said_once_harms_nobody_when_it_is_said_again(
    again: list[tuple[float, int]],
) -> None:
    system = long_settled()
    for pause, number in again:
        system.run(pause)
        _, who, address, frame = system.said[number % len(system.said)]
        system.send(system.nodes[who], address, frame)
    assert_unharmed(system)
