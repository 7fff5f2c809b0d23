"""Node: what every process of a system is, and how it is built from a topology.

Theory of operation
-------------------

`Runtime`, `Worker` and `Client` are the three kinds of node. `node` is the base of all: life, and
talking to agents (`verbs`). `host` is the base of the two that have agents: slots, `counters`,
commands. What other nodes want done once, however often they say so, goes through `answered_calls`.
What is left is their own: the tree of a runtime, the reports of a worker, the search of a client.

A node that is constructed has slots for its agents. Its **identity** is made by `start`: node id,
generation, the event loop and the process that it belongs to, and the cluster, which has them all
(`ComponentSet.identify`). So a node that was constructed before a fork is another node in each
child that starts it, with a transport of its own; and one that was started before is refused
there, for what it holds is the parent's.

    state       | event                                       | becomes
    ------------+---------------------------------------------+---------
    constructed | `start`                                     | starting
                | `stop`                                      | ended
                | `start`, and it can't have an identity      | ended, and `start` raises
    starting    | all agents have started                     | running
                | an error, or `stop`, or it is evicted       | ended, and `start` raises
                | something that it has going on ends         | ended, and `start` raises
    running     | `stop`                                      | stopping
                | its last agent is done, if it had any       | stopping
                | its root gives up, or it is evicted         | stopping, with a failure
                | something that it has going on ends         | stopping, with a failure
    stopping    | all is stopped                              | ended
    ended       | nothing: a node lives once                  |

The order of a start: the transport; the cluster listens; agents get their addresses; the node
joins, so that its names are its own; what a durable transport has kept is taken; the agents
start; the others hear of them. The order of a stop: no new messages (`closing`); the others hear
that it leaves; what was taken is handled (`drain`); no more commands (`commands`); agents stop in
reverse order; what is left becomes dead letters; goodbye; the transport. A step that fails leaves
out no other (`ending`).

Tasks, timers and threads are the node's, or a part's of it; `ClusterConfig.failed` is where each
reports an end that nobody expected, in any thread (`civitas.transport.tasks`).

Who asks from outside how a node is (probes, a service manager) is answered by `health`, in a thread
of its own: it begins before the transport starts, and ends after it has stopped. `queues` knows
which agents have messages waiting and handle none. `crashes` keeps the last crash of each agent,
for who looks at the node; `restarts` has agents of a tree begin anew that somebody wants to.

`build` makes the parts of a node from a resolved topology, `tree` checks a declared tree and makes
the engines of it.
"""
