"""The harness for tests of agents: the real runtime on virtual time, inside of a test's own loop.

    async def test_a_page_is_stored():
        async with harness(Crawler("crawler"), fakes={"store": {"id": 1}}) as h:
            await h.send("crawler", {"url": "/"}, "fetch")
            await h.idle()
            assert [m.payload for m in h.sent("store")] == [{"url": "/", "text": "Hello"}]

Theory of operation
-------------------

A test runs in an event loop that is not ours: that of pytest-asyncio, or of `asyncio.run`. The
agents have a simulated loop of their own (`civitas.testing.simulation.loop`), whose clock moves
only when it is told to. It takes its turns in callbacks of the test's loop: so the two never run at
once, and each thing of the test's own, its fixtures and its real clock included, goes on as ever.
Rejected were: to change the clock of the test's loop (all else in it would stand still, and it may
be one that has no Python in it), and real time with short delays (slow, and never the same twice).

What a test awaits of a harness is a **goal**. The agents take turns until nothing is left to do at
this instant; then the goals that are reached are told so, and the test goes on. If none is, the
clock moves to the next thing that is due, as far as every goal allows:

    goal         | is reached when                      | lets the clock move
    -------------+--------------------------------------+------------------------------------------
    advance      | its time has come                    | to that time, exactly
    idle         | no agent has anything to do          | for `within` seconds, then it fails
    send, ask    | it has been accepted, answered       | as long as its own timeout takes

If nothing is due, and a goal is still open, only the test itself can change that: it has `patience`
real seconds to do so, and then the goal fails with what every agent has in hand. An instant that
comes to no rest takes time after a while, so an agent that never rests is noticed, too.

    world      the clock, and turns of agents in the test's loop
    goals      what a test awaits
    turns      takes turns until the goals are reached
    fakes      agents that stand for others
    runtime    the runtime, which knows who has something to do, and what was sent
    findings   what a test may look at, and what fails it at its end
    harness    all of it, as a test sees it

Invariants
----------

- The clock moves only while a goal is open.
- What happens in a turn of the agents sees their clock; everything else sees the machine's.
- The error of the test's body is never replaced by one of ours: ours become notes of it.
- Behind the block there is no task, no changed function and no changed clock of ours.
"""
