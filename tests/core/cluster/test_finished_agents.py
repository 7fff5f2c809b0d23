"""What a node says at its end of its agents that are done, and who takes it of a node that went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

import pytest

from civitas._cluster.codec import encode
from civitas._cluster.events import Evicted, Finished, NodeSeen, Received
from civitas._cluster.pieces import ControlCodec
from civitas._cluster.protocol import (
    AgentStates,
    Changed,
    ControlMessage,
    Fenced,
    Left,
    NodeInfo,
    Pong,
    control_address,
)
from civitas.envelope import Origin
from civitas.errors import FrameError
from core.cluster.one_node import PRIMARY, WORKER, One, info
from core.cluster.simulation import SimulatedNode, System, deaths, three

DONE = {"near": ("STOPPED", 3)}
SAID = Pong(0, {"far": ("STOPPED", 3), "other": ("RUNNING", 1)}, 0.0)
GOODBYE = Left(WORKER.node, WORKER.generation, "it stopped", fenced=False)


class Done(One):
    """A node whose agent is done."""

    def agents(self) -> Mapping[str, tuple[str, int]]:
        return DONE


def said_to(one: One) -> set[str]:
    return {where for where, message in one.sent if message == Pong(0, DONE, 0.0)}


def test_a_node_that_was_declared_dead_says_which_of_its_agents_are_done() -> None:
    one = Done().joined(PRIMARY)
    one.hear(PRIMARY, Fenced("superseded"))
    assert one.events == [Evicted("superseded", fenced=True)]
    assert said_to(one) == {control_address(PRIMARY.node)}


def test_it_says_so_to_the_primary_also_when_that_is_missing_and_another_node_has_told_it() -> None:
    one = Done().joined(PRIMARY, WORKER)
    members = one.membership.members
    members.remove(one.membership.peers[PRIMARY.node], "silent", died=True, may_return=True)
    one.hear(WORKER, Fenced("superseded"))
    assert said_to(one) == {control_address(PRIMARY.node)}


def test_a_node_that_leaves_says_it_before_its_goodbye() -> None:
    one = Done().joined(PRIMARY, WORKER)
    one.membership.leave("it stopped")
    kinds = [type(message) for _, message in one.sent]
    assert kinds == [Pong, Left]
    assert said_to(one) == {control_address(PRIMARY.node)}


def test_a_node_without_such_an_agent_says_nothing_of_it() -> None:
    one = One().joined(PRIMARY)
    one.hear(PRIMARY, Fenced("superseded"))
    one.membership.leave("it stopped")
    assert [type(message) for _, message in one.sent] == [Left]


def test_of_a_node_that_was_declared_dead_only_what_is_done_is_taken() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    one.membership.members.fenced.add(WORKER.key)
    one.overhear(WORKER, SAID)
    assert one.events == [Finished(WORKER.node, ("far",))]


def test_so_it_is_of_one_whose_goodbye_has_overtaken_it() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    one.overhear(WORKER, GOODBYE)
    one.forget()
    one.overhear(WORKER, SAID)
    assert one.events == [Finished(WORKER.node, ("far",))]


def test_a_node_that_never_was_in_has_no_agents_that_are_done() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    one.overhear(info("55"), SAID)
    assert not one.events


def pieces_from(teller: NodeInfo) -> list[bytes]:
    """Return the frames of more done agents than one frame holds."""
    codec = ControlCodec(Origin(bytes.fromhex(teller.node), teller.generation), 1024)
    many = {f"agent-{number}": ("STOPPED", 0) for number in range(200)}
    frames = codec.frames(Pong(0, many, 0.0))
    assert len(frames) > 1
    return frames


def read(one: One, frames: list[bytes]) -> None:
    codec = ControlCodec(Origin(bytes.fromhex(one.membership.info.node), 5))
    is_member, proves = one.membership.members.is_member, one.membership.proves
    for frame in frames:
        said = codec.read(frame, one.now, is_member, proves, to_everyone=False)
        if said is not None:
            one.membership.receive(*said, one.now)


@pytest.mark.parametrize("how", ["fenced", "departed"])
def test_what_is_done_may_be_more_than_fits_one_frame(how: str) -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    if how == "fenced":
        one.membership.members.fenced.add(WORKER.key)
    else:
        one.overhear(WORKER, GOODBYE)
    one.forget()
    read(one, pieces_from(WORKER))
    (event,) = one.events
    assert isinstance(event, Finished)
    assert len(event.agents) == 200


def test_of_a_node_that_never_was_in_no_piece_is_kept() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    with pytest.raises(FrameError, match="has not proved itself"):
        read(one, pieces_from(info("55")))


def parted_and_declared_dead() -> System:
    system, *_ = three()
    system.network.part({"A"}, {"P", "B"})
    system.run(6.0)
    assert "A" not in system.nodes["P"].knows | system.nodes["B"].knows
    return system


def test_a_node_that_only_an_earlier_primary_declared_dead_hears_so_of_the_others() -> None:
    system = parted_and_declared_dead()
    system.nodes["P"].kill()
    system.network.heal()
    next_primary = system.primary("P2", generation=2)
    next_primary.join()
    system.run(15.0)
    assert system.nodes["A"].evicted
    assert next_primary.knows == {"B"}


def test_what_it_says_of_its_agents_is_heard_when_the_partition_is_over() -> None:
    system = parted_and_declared_dead()
    lost = system.nodes["A"]
    lost.change(a="STOPPED")
    system.network.heal()
    system.run(6.0)
    assert lost.evicted
    assert Finished(lost.id, ("a",)) in system.nodes["P"].events
    assert encode(Pong(0, {"a": ("STOPPED", 0)}, 0.0), lost.origin) in [s[3] for s in system.said]


def names_done(message: ControlMessage) -> bool:
    """Return whether a message says, by a state, that an agent is done."""
    states = message.info.agents if isinstance(message, Changed) else {}
    states = message.agents if isinstance(message, Pong) else states
    return any(status == "STOPPED" for status, _ in states.values())


WORDS: Mapping[str, Callable[[ControlMessage], bool]] = {
    "change": lambda said: isinstance(said, Changed) and names_done(said),
    "answer": lambda said: isinstance(said, Pong) and names_done(said),
    "goodbye": lambda said: isinstance(said, Left) and not said.fenced,
}
"""What a node says of an agent that is done, when it is done and ends at once."""


@pytest.mark.parametrize(
    "lost", [set(each) for count in range(3) for each in combinations(WORDS, count)]
)
@pytest.mark.parametrize("seed", range(3))
def test_one_of_the_three_words_of_a_process_that_ends_is_enough(lost: set[str], seed: int) -> None:
    system = System(seed)
    primary, worker = system.primary(), system.add("A", "a")
    system.joined(primary, worker)
    system.network.loses = lambda message: any(WORDS[each](message) for each in lost)
    worker.change(a="STOPPED")
    worker.membership.leave("it stopped")
    worker.kill()
    system.run(6.0)
    assert deaths(primary) == (["A"] if "goodbye" in lost else [])
    assert a_is_done(primary, worker)


def a_is_done(primary: SimulatedNode, worker: SimulatedNode) -> bool:
    """Return whether the primary's supervisor has heard that an agent is done."""
    told: list[AgentStates] = []
    for event in primary.events:
        match event:
            case NodeSeen(info=info) if info.node == worker.id:
                told.append(info.agents)
            case Received(info=info, message=Pong() as pong) if info.node == worker.id:
                told.append(pong.agents)
            case Finished(node=worker.id, agents=("a",)):
                return True
    return any(states.get("a", ("", 0))[0] == "STOPPED" for states in told)


def test_a_goodbye_that_somebody_else_says_makes_nobody_done() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    for forged in (replace(GOODBYE, done=("far",)), replace(GOODBYE, fenced=True, done=("far",))):
        one.overhear(info("55"), forged)
    assert not one.events


def test_a_goodbye_of_one_that_was_declared_dead_still_says_what_is_done() -> None:
    one = One("primary", process="supervisor").joined(WORKER)
    one.membership.members.fenced.add(WORKER.key)
    one.overhear(WORKER, replace(GOODBYE, done=("far",)))
    assert one.events == [Finished(WORKER.node, ("far",))]
