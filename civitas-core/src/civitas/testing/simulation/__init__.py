"""The simulation: whole systems on virtual time and a simulated network, from a seed.

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
    network           who hears whom, when, and what is lost
    transport         at most once, on that network
    stream_server     a broker that keeps messages
    durable_transport at least once, by that broker
    plugin            both as `type: simulation`
"""
