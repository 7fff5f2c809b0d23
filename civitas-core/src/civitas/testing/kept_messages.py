"""What is promised by a transport that lets commands reach what it keeps: its DeadLetterStore."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, TypeAlias

from civitas import envelope
from civitas.errors import CivitasError, FrameError, ProcessingError, TransportError
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Arrivals, Network
from civitas.testing.outages import Broker
from civitas.transport import DeadLetterStore, Kept, KeptMessage, Selection, Transport
from civitas.transport.dead_letters.batch import BatchResult, Target, return_all, snapshot
from civitas.transport.dead_letters.reader import MessageReader

MakeDeadLetters: TypeAlias = Callable[[], DeadLetterStore]
"""What the fixture `make_dead_letters` gives: it makes a store that is not started."""

_POISON: Final = b"poison"
_NAMES: Final = ("cook", "Cook", "cook_2", "cook.2", "cook-2", "köchin")
"""Names of agents that a store must not take for one another."""

_CLOCKS: Final = 60.0
"""Seconds by which the broker's clock may differ from this one."""


class KeptMessageBehaviours(Behaviours):
    """Dead letters, and what waits for agents: counted, read, added and removed by a store."""

    @behaviour
    async def test_a_dead_letter_is_listed_with_what_is_known_of_it(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """A letter has its agent, frame, reason, time and count; reading it leaves it there.

        If this fails: the transport gives up a message without keeping it; or it keeps no more of
        it than the frame; or the store takes what it reads, as a consumer would.
        """
        begun = time.time()
        [frame] = await _give_up(network, "worker", b"one", for_ever=True)
        async with _opened(network, make_dead_letters) as store:
            for _ in range(2):
                letters = await _all(network, store)
                assert len(letters) == 1, f"1 dead letter is there, and {len(letters)} are listed"
                [letter] = letters
                assert letter.kept is Kept.DEAD
                assert letter.agent == "worker", f"it is a letter of {letter.agent!r}"
                assert _as_published(letter.frame) == frame, "the frame is another one"
                assert letter.number > 0, f"its number is {letter.number}"
                assert letter.reason, "it has no reason"
                assert letter.deliveries > 0, "its deliveries were not counted"
                assert abs(letter.time - begun) < _CLOCKS, f"its time is {letter.time}"

    @behaviour
    async def test_dead_letters_are_chosen_by_agent_and_number(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """Letters come in the order in which they were given up; a selection leaves out the others.

        If this fails: numbers don't grow; or the agent's name is matched loosely; or `last` is not
        looked at, so that a batch has no end where agents fail once more.
        """
        for name in _NAMES:
            await _give_up(network, name, b"one", b"two")
        async with _opened(network, make_dead_letters) as store:
            letters = await _all(network, store)
            expected = [name for name in _NAMES for _ in range(2)]
            agents = [each.agent for each in letters]
            assert agents == expected, "not in the order in which they were given up"
            numbers = [each.number for each in letters]
            assert numbers == sorted(set(numbers)), f"the numbers don't grow: {numbers}"
            survey = await network.within(store.survey(Kept.DEAD), "survey()")
            assert dict(survey.counts) == dict.fromkeys(_NAMES, 2), f"counted: {survey.counts}"
            assert survey.last >= numbers[-1], "the last number is not the greatest"
            for name in _NAMES:
                found = await _all(network, store, Selection(agent=name))
                assert {each.agent for each in found} == {name}, f"of {name!r}: {found}"
                assert len(found) == 2
            chosen = (numbers[3], numbers[1], survey.last + 1_000)
            found = await _all(network, store, Selection(numbers=chosen))
            assert found == [letters[1], letters[3]], "not those with the chosen numbers"
            found = await _all(network, store, Selection(last=numbers[2]))
            assert found == letters[:3], "not those up to a number"

    @behaviour
    async def test_a_removed_dead_letter_is_gone(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """A letter that was removed is gone for all, the others stay, and once more is no error.

        If this fails: what the broker says of a message that is not there comes out of `remove`; or
        it removes by the place in a list, which changes.
        """
        await _give_up(network, "worker", b"one", b"two", b"three")
        async with _opened(network, make_dead_letters) as store:
            one, two, three = await _all(network, store)
            for _ in range(2):
                await _remove(network, store, two)
            assert await _all(network, store) == [one, three], "another one was removed"
        async with _opened(network, make_dead_letters) as store:
            assert await _all(network, store) == [one, three], "it is there again"

    @behaviour
    async def test_a_returned_dead_letter_is_handled(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """Letters that are returned come to their agent in order, as if never delivered, and go.

        If this fails: `add` publishes to who listens now, and keeps nothing; or the count of
        deliveries of the former life goes on.
        """
        frames = await _give_up(network, "worker", b"one", b"two", for_ever=True)
        async with _opened(network, make_dead_letters) as store:
            result = await _return(network, store, Selection(agent="worker"))
            assert (result.done, result.kept) == (2, [])
            assert await _all(network, store) == [], "a letter is still there"
            [inbox] = await network.listen(await network.start(), "worker")
            arrived = await inbox.first(2)
            assert arrived == frames, "not what was given up, in its order, as if never delivered"

    @behaviour
    async def test_what_waits_for_nobody_is_counted_and_stays(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """What is kept for a name that nobody reads is counted and read, and not taken.

        If this fails: the store sees what has a consumer, or had one; or reading acknowledges.
        """
        sender, receiver = await network.pair()
        frames = {name: await _publish(network, sender, name, b"1", b"2") for name in _NAMES}
        async with _opened(network, make_dead_letters) as store:
            survey = await network.within(store.survey(Kept.WAITING), "survey()")
            assert dict(survey.counts) == dict.fromkeys(_NAMES, 2), f"counted: {survey.counts}"
            for name in _NAMES:
                found = await _all(network, store, Selection(Kept.WAITING, name))
                assert [each.frame for each in found] == frames[name], f"waiting for {name!r}"
                assert {each.agent for each in found} == {name}
        [inbox] = await network.listen(receiver, "cook_2")
        assert await inbox.first(2) == frames["cook_2"], "reading has taken a message"

    @behaviour
    async def test_what_waits_is_moved_to_another_agent_in_order(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """Messages for a name that is no more come to another agent, behind what it has already.

        If this fails: a message is removed that was not selected; or `add` is confirmed before the
        frame is kept; or messages of one sender overtake each other.
        """
        sender, receiver = await network.pair()
        first = await _publish(network, sender, "cook", b"0")
        moved = await _publish(network, sender, "cook_2", *(b"%d" % n for n in range(1, 9)))
        other = await _publish(network, sender, "cook_3", b"other")
        async with _opened(network, make_dead_letters) as store:
            result = await _return(network, store, Selection(Kept.WAITING, "cook_2"), "cook")
            assert (result.done, result.kept) == (8, [])
            left = await _all(network, store, Selection(Kept.WAITING, "cook_2"))
            assert left == [], "moved messages are still there"
            counts = (await network.within(store.survey(Kept.WAITING), "survey()")).counts
            assert dict(counts) == {"cook": 9, "cook_3": 1}, f"what waits now: {counts}"
        cook, cook_2, cook_3 = await network.listen(receiver, "cook", "cook_2", "cook_3")
        assert await cook.first(9) == first + moved, "not all, or not in their order"
        assert await cook_3.first() == other
        fence = await _publish(network, sender, "cook_2", b"fence")
        assert await cook_2.including(fence[0]) == fence, "a moved message came to the former name"

    @behaviour
    async def test_a_removed_waiting_message_is_not_given(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """A message that waits and is removed never comes to its agent; its neighbours do.

        If this fails: it is marked, and given all the same; or its number is that of another list.
        """
        sender, receiver = await network.pair()
        frames = await _publish(network, sender, "worker", b"one", b"two", b"three")
        async with _opened(network, make_dead_letters) as store:
            _, two, _ = await _all(network, store, Selection(Kept.WAITING))
            for _ in range(2):
                await _remove(network, store, two)
        [inbox] = await network.listen(receiver, "worker")
        arrived = await inbox.including(frames[2])
        assert arrived == [frames[0], frames[2]], "it was given all the same"

    @behaviour
    async def test_a_store_stops_in_any_state(
        self, network: Network, make_dead_letters: MakeDeadLetters
    ) -> None:
        """`stop` works before `start`, after it and again; a stopped store refuses its work.

        If this fails: `stop` needs what only `start` makes. What a store leaves behind fails any of
        these tests.
        """
        await _done(network, make_dead_letters().stop(), "stop() before start()")
        await network.start()
        async with _opened(network, make_dead_letters) as store:
            await network.within(store.survey(Kept.DEAD), "survey()")
        await network.within(store.stop(), "stop() once more")
        work = store.add("worker", network.frame(b"late"), "key")
        await network.refused(work, TransportError, "add() after stop()")

    @behaviour
    async def test_an_outage_leaves_no_letter_behind(
        self, network: Network, make_dead_letters: MakeDeadLetters, broker: Broker
    ) -> None:
        """A return in which the broker dies is an error; done again, every letter is handled.

        If this fails: `add` returns before the frame is safe; or it waits for the broker for ever,
        longer than `patience`: give its store a short time limit here.
        """
        frames = await _give_up(network, "worker", b"1", b"2", b"3")
        async with _opened(network, make_dead_letters) as store:
            letters = await _all(network, store)
            assert len(letters) == 3
            network.outside(broker.kill)
            try:
                add = store.add("worker", frames[0], "a key of its own")
                await network.refused(add, CivitasError, "add() without a broker")
                remove = store.remove(letters[0])
                await network.refused(remove, CivitasError, "remove() without a broker")
            finally:
                network.outside(broker.start)
        await _until_served(network, make_dead_letters)
        async with _opened(network, make_dead_letters) as store:
            assert await _all(network, store) == letters, "the letters are not those of before"
            await _return(network, store, Selection())
            assert await _all(network, store) == [], "a letter is still there"
        [inbox] = await network.listen(await network.start(), "worker")
        arrived = await inbox.including(frames[2])
        assert set(arrived) == set(frames), "a letter was lost"


@asynccontextmanager
async def _opened(network: Network, make: MakeDeadLetters) -> AsyncIterator[DeadLetterStore]:
    store = make()
    try:
        await network.within(store.start(), "start() of a dead-letter store")
        yield store
    finally:
        await network.within(store.stop(), "stop() of a dead-letter store")


async def _until_served(network: Network, make: MakeDeadLetters) -> None:
    """Wait until a broker that was started again lets a store in, and answers it."""

    async def served() -> None:
        while True:
            with suppress(CivitasError):
                async with _opened(network, make) as store:
                    await store.survey(Kept.DEAD)
                    return

    await network.within(served(), "the broker to serve a dead-letter store again")


async def _all(
    network: Network, store: DeadLetterStore, selection: Selection | None = None
) -> list[KeptMessage]:
    async def read() -> list[KeptMessage]:
        async with aclosing(store.read(selection or Selection())) as messages:
            return [each async for each in messages]

    return await network.within(read(), "read()")


async def _remove(network: Network, store: DeadLetterStore, message: KeptMessage) -> None:
    """Remove a message that may be gone."""
    what = "remove() of a message that may not be there any more"
    await _done(network, store.remove(message), what)


async def _done(network: Network, work: Awaitable[None], what: str) -> None:
    """Wait for what must not raise."""
    try:
        await network.within(work, what)
    except Exception as error:
        raise AssertionError(f"{what} raised {error!r}") from error


async def _return(
    network: Network, store: DeadLetterStore, selection: Selection, agent: str | None = None
) -> BatchResult:
    """Do what `replay` and `move` do."""
    result = BatchResult()
    chosen = await network.within(snapshot(store, selection), "survey()")
    work = return_all(store, chosen, Target(MessageReader(), agent), result, lambda _: None)
    await network.within(work, "add() and remove()")
    return result


async def _publish(network: Network, sender: Transport, agent: str, *bodies: bytes) -> list[bytes]:
    frames = [network.frame(body) for body in bodies]
    for frame in frames:
        await network.within(sender.publish(agent, frame), "publish()")
    return frames


async def _give_up(
    network: Network, agent: str, *bodies: bytes, for_ever: bool = False
) -> list[bytes]:
    """Make dead letters of frames with these bodies, and return the frames.

    They can't be read, or fail as often as they are given. Then the agent's transport stops.
    """
    transport = await network.start()
    inbox = Arrivals(agent, network)

    async def handle(frame: bytes) -> None:
        if not envelope.open(frame).body.startswith(_POISON):
            await inbox.put(frame)
        elif for_ever:
            raise ProcessingError(agent, "ValueError", "on purpose")
        else:
            raise FrameError("on purpose")

    await network.within(transport.subscribe(agent, handle), "subscribe()")
    await network.ready()
    frames = await _publish(network, transport, agent, *(_POISON + each for each in bodies))
    [fence] = await _publish(network, transport, agent, b"fence")
    await inbox.including(fence)
    await network.stop(transport)
    return frames


def _as_published(frame: bytes) -> bytes:
    return envelope.with_attempt(frame, 0)
