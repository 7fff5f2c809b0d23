"""What is promised of a request: its own answer, an end in time, and nothing left of it."""

from __future__ import annotations

import asyncio
from typing import Final

from civitas import envelope
from civitas.errors import MessageRoutingError
from civitas.messages import REPLY_PREFIX
from civitas.testing.behaviour import Behaviours, behaviour
from civitas.testing.network import Network
from civitas.testing.suite import for_claim
from civitas.transport import Transport, is_reply_address

_MANY: Final = 100
_EACH: Final = 40
_SHORT: Final = 0.05
"""Seconds after which a request that nobody answers gives up."""

_SLACK: Final = 0.02
"""Seconds by which a timer may be early: the resolution of clocks and of the event loop."""


class RequestBehaviours(Behaviours):
    """From `request` to its answer."""

    @behaviour
    async def test_a_request_gets_its_answer(self, network: Network) -> None:
        """`request` returns the frame that the asked agent published as the answer.

        If this fails: `_reply.<node>` is not subscribed at `start`; or the answer is unpacked,
        where the whole frame is what `request` returns.
        """
        asker, answerer = await network.pair()
        await network.serve(answerer, "oracle")
        question = network.frame(b"what is 6 times 7?")
        answer = await network.within(asker.request("oracle", question, 10.0), "the answer")
        opened = envelope.open(answer)
        assert opened.kind == envelope.KIND_REPLY, "what request() returned is no reply frame"
        assert opened.body == b"what is 6 times 7?", "the answer's body is not what was answered"

    @behaviour
    async def test_a_request_carries_a_reply_address(self, network: Network) -> None:
        """The frame that arrives is the question, stamped with a reply address of its own.

        If this fails: the address is not of the form `_reply.<node>.<n>`, and so no agent answers
        there; or two requests in flight share one; or stamping changed more of the frame than
        `envelope.with_reply_to` does.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        question = network.frame(b"?")
        asked = [network.spawn(asker.request("oracle", question, 10.0)) for _ in range(2)]
        arrived = await inbox.first(2)
        addresses = {envelope.reply_to_of(frame) for frame in arrived}
        assert len(addresses) == 2, f"two requests share a reply address: {addresses}"
        for frame, address in zip(arrived, map(envelope.reply_to_of, arrived), strict=True):
            assert is_reply_address(address), f"{address!r} is no reply address"
            assert frame == envelope.with_reply_to(question, address), "the question was changed"
            await network.reply(answerer, network.answer_to(frame))
        await network.within(asyncio.gather(*asked), "two answers")

    @behaviour
    async def test_has_reply_address_tells_what_is_in_flight(self, network: Network) -> None:
        """`has_reply_address` is true for a request in flight, and false before and after.

        If this fails: it looks at a prefix and not at the requests; or the entry is made after
        the frame was sent, when the answer may already be back.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        strange = f"{REPLY_PREFIX}conformance.1"
        assert not asker.has_reply_address(strange), "an unknown reply address is taken for ours"
        asked = network.spawn(asker.request("oracle", network.frame(b"?"), 10.0))
        [frame] = await inbox.first()
        address = envelope.reply_to_of(frame)
        assert asker.has_reply_address(address), "the address of a request in flight is unknown"
        await network.reply(answerer, network.answer_to(frame))
        await network.within(asked, "the answer")
        assert not asker.has_reply_address(address), "the address of an answered request is kept"

    @behaviour
    async def test_requests_in_flight_get_their_own_answers(self, network: Network) -> None:
        """A hundred requests at once get each its own answer, in whatever order answers come.

        If this fails: answers are matched to requests by order of arrival; match them by the
        reply address in the answer's header.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        questions = [network.frame(b"%d" % number) for number in range(_MANY)]
        asked = [network.spawn(asker.request("oracle", each, 10.0)) for each in questions]
        for request in reversed(await inbox.first(_MANY)):
            await network.reply(answerer, network.answer_to(request))
        answers = await network.within(asyncio.gather(*asked), "a hundred answers")
        bodies = [envelope.open(answer).body for answer in answers]
        assert bodies == [b"%d" % number for number in range(_MANY)], "answers were mixed up"

    @for_claim("cross_process")
    @behaviour
    async def test_each_node_gets_its_own_answers(self, network: Network) -> None:
        """Three nodes that ask one agent at once get each its own answers, and all of them.

        If this fails: answers are shared out among connections, as by a queue group; or the reply
        address of another node's request is stamped on some answers.
        """
        asker, answerer = await network.pair()
        nodes = [asker, await network.start(), await network.start()]
        await network.serve(answerer, "oracle")
        bodies = [[b"%d of %d" % (n, node) for n in range(_EACH)] for node in range(len(nodes))]
        asking = (
            _ask_all(node, [network.frame(body, origin=origin) for body in mine])
            for node, origin, mine in zip(nodes, network.origins(len(nodes)), bodies, strict=True)
        )
        answers = await network.within(asyncio.gather(*asking), f"{3 * _EACH} answers, each once")
        found = [[envelope.open(answer).body for answer in mine] for mine in answers]
        assert found == bodies, "a node got the answer to another one's question"

    @behaviour
    async def test_a_handler_may_ask_while_it_handles(self, network: Network) -> None:
        """A handler that waits for another agent's answer gets it: replies are not held up.

        If this fails: one loop reads frames and awaits handlers, so the answer waits behind the
        handler that waits for it. Use the Dispatcher of civitas.transport.
        """
        asker, answerer = await network.pair()
        await network.serve(answerer, "oracle")

        async def ask_on(request: bytes) -> None:
            answer = await answerer.request("oracle", network.frame(b"from below"), 10.0)
            body = envelope.open(answer).body
            await network.reply(answerer, network.answer_to(request, body))

        await answerer.subscribe("middle", ask_on)
        await network.ready()
        answer = await network.within(
            asker.request("middle", network.frame(b"?"), 10.0), "an answer by way of two agents"
        )
        assert envelope.open(answer).body == b"from below", "the answer is not the second agent's"

    @behaviour
    async def test_an_unanswered_request_times_out(self, network: Network) -> None:
        """Without an answer `request` raises TimeoutError, after its time and not before it.

        If this fails: the timeout is of the library's own type (raise the built-in one `from`
        it), is taken for milliseconds, or covers only the sending.
        """
        asker, answerer = await network.pair()
        await network.listen(answerer, "silent")
        clock = asyncio.get_running_loop().time
        began = clock()
        request = asker.request("silent", network.frame(b"?"), _SHORT)
        await network.refused(request, TimeoutError, "a request that nobody answers")
        assert clock() - began >= _SHORT - _SLACK, "the request gave up before its time"

    @behaviour
    async def test_a_timeout_leaves_nothing_of_the_request(self, network: Network) -> None:
        """After a timeout the reply address is gone, and a late answer disturbs nobody.

        If this fails: the entry is removed only where an answer comes (use `finally`); or a late
        answer raises in the reader, or is given to the next request.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "silent")
        request = asker.request("silent", network.frame(b"?"), _SHORT)
        await network.refused(request, TimeoutError, "a request that nobody answers")
        [late] = await inbox.first()
        address = envelope.reply_to_of(late)
        assert not asker.has_reply_address(address), "the address of an expired request is kept"
        await network.reply(answerer, network.answer_to(late, b"too late"))
        await _still_answers(network, asker, answerer)

    @behaviour
    async def test_a_cancelled_request_leaves_nothing(self, network: Network) -> None:
        """Cancelling a request ends it at once; its reply address is gone, a late answer dropped.

        If this fails: `except CancelledError` (or a bare `except`) swallows the cancellation; or
        the entry is removed only on timeout.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "silent")
        asked = network.spawn(asker.request("silent", network.frame(b"?"), 10.0))
        [frame] = await inbox.first()
        asked.cancel()
        await network.within(asyncio.wait([asked]), "a cancelled request to end")
        assert asked.cancelled(), f"the cancellation was swallowed: {asked}"
        address = envelope.reply_to_of(frame)
        assert not asker.has_reply_address(address), "the address of a cancelled request is kept"
        await network.reply(answerer, network.answer_to(frame, b"too late"))
        await _still_answers(network, asker, answerer)

    @behaviour
    async def test_a_second_answer_is_dropped(self, network: Network) -> None:
        """The first answer is the answer; a second one disturbs neither it nor later requests.

        If this fails: setting a result twice raises in the reader; check whether it is set.
        """
        asker, answerer = await network.pair()
        [inbox] = await network.listen(answerer, "oracle")
        asked = network.spawn(asker.request("oracle", network.frame(b"?"), 10.0))
        [frame] = await inbox.first()
        await network.reply(answerer, network.answer_to(frame, b"first"))
        await network.reply(answerer, network.answer_to(frame, b"second"))
        answer = await network.within(asked, "the answer")
        assert envelope.open(answer).body == b"first", "the second answer took the first's place"
        await _still_answers(network, asker, answerer)

    @behaviour
    async def test_a_request_to_nobody_ends_in_time(self, network: Network) -> None:
        """A request to an address without a subscriber raises MessageRoutingError or TimeoutError.

        If this fails: the broker's "nobody is there" is not translated, or is waited for longer
        than the request's own timeout.
        """
        asker, _ = await network.pair()
        request = asker.request("nobody", network.frame(b"?"), _SHORT)
        try:
            await network.within(request, "a request to nobody to end")
        except (MessageRoutingError, TimeoutError):
            return
        raise AssertionError("a request to nobody was answered")


async def _ask_all(node: Transport, questions: list[bytes]) -> list[bytes]:
    return await asyncio.gather(*(node.request("oracle", each, 10.0) for each in questions))


async def _still_answers(network: Network, asker: Transport, answerer: Transport) -> None:
    """Prove that later requests get their own answers: it comes after all that was sent before."""
    await network.serve(answerer, "still-there")
    request = asker.request("still-there", network.frame(b"still"), 10.0)
    answer = await network.within(request, "the answer to a later request")
    assert envelope.open(answer).body == b"still", "a later request got another's answer"
