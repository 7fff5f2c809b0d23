"""The simulation: whole systems on virtual time and a simulated network, from a seed.

    from civitas.testing import simulation as sim

    @sim.test(topology="topology.yaml", seeds=200, faults=sim.Faults(kill=True, pause=True))
    async def test_no_order_is_lost(system: sim.System):
        async with system.load("desk", rate=20):
            await system.storm(seconds=30)
        await system.calm(within=60)
        assert system.history.handled("press") >= system.history.accepted("press")

Theory of operation
-------------------

A `world` has a clock, and processes that have event loops; it lets one loop take one turn, then
another, as the seed has it, and moves the clock when nothing else can happen. Everything that core
takes from the machine it takes from `civitas._platform`, where the world puts its own. So nodes,
supervisors and transports run as they are, in one thread of one real process, and a run is a
function of its seed.

    errors            what can't be simulated
    loop              the event loop of one thread of a process
    process           a process: its loops, its clock, and whether it runs
    world             the clock, the order of turns, the digest
    guards            the same for authors' code, and refusals of what can't be simulated
    dates             what stands in for `datetime` there
    network           who hears whom, when, and what is lost
    transport         at most once, on that network
    stream_server     a broker that keeps messages
    server_calls      questions to it, repeated until they are answered
    durable_transport at least once, by that broker
    dead_letter_store what that broker keeps, for commands
    plugin            all of them as `type: simulation`
    faults            what is to go wrong, as data
    storm             carries it out
    history           what has happened
    recording         agents and buses that leave a history
    own_work          timers and background tasks that do
    deployment        the processes of a topology
    load              messages that are sent meanwhile
    system            all of it, as a test sees it
    invariants        what a test asks of its system
    checks            what is asked of every system
    object_checks     ... about the objects of its agents
    tick_checks       ... about their timers
    run               one seed
    shrink            the fewest faults that fail in the same way
    report            the text of a failure
    declare           `test`, which makes a pytest test of it

Invariants
----------

- Nothing is read from the machine but the code: no clock, no random number, no socket, no thread.
- No order depends on hashes or addresses: tasks and futures are numbered.
- A process that is killed has no turn any more; its coroutines are kept until the end of the run,
  lest their `finally` blocks run.
- What one purpose draws from the seed does not change what another one does.
"""

from civitas.testing.simulation.declare import test
from civitas.testing.simulation.errors import SimulationError
from civitas.testing.simulation.faults import Fault, Faults
from civitas.testing.simulation.history import History
from civitas.testing.simulation.invariants import Invariant, at_most_once, nothing_lost
from civitas.testing.simulation.system import EVERY_NODE, System

__all__ = [
    "EVERY_NODE",
    "Fault",
    "Faults",
    "History",
    "Invariant",
    "SimulationError",
    "System",
    "at_most_once",
    "nothing_lost",
    "test",
]
