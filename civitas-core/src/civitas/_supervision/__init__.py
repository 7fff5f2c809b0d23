"""Supervision: what is restarted, when, and when to give up.

Theory of operation
-------------------

`restart` decides whether a crashed child is restarted, and when; `engine` does it. A declared
`Supervisor` is run by one `Engine`; its members are slots (agents of this process), remote agents
(agents of others) and engines below. All three have `start`, `stop`, `alive` and `finished`, so a
strategy is written once.

States of an engine:

    state    | event                               | what follows                      | becomes
    ---------+-------------------------------------+-----------------------------------+---------
    down     | `start`                             | children start in order           | starting
    starting | all children have started           |                                   | up
             | a child can't start                 | the others stop, in reverse order | down
             | a child crashes                     | counted; ONE_FOR_ONE: as in `up`; |
             |                                     | a group waits until it is up      |
    up       | a child crashes, within intensity   | backoff, then the strategy        | up
             | ... beyond the intensity            | all stop; the parent hears of it  | down
             | a child is done                     | it is retired, and stays so       | up
             | `stop`                              | restarts under way are cancelled; | down
             |                                     | children stop in reverse order    |

An intensity is more than `max_restarts` crashes within `restart_window`; children that fail by
one cause, the end of their process, count once; a crash on a message that was redelivered does
not count, since the transport's limit of deliveries ends it. At the root, giving up ends the
node.

A **remote agent** (`remote`) is a member whose object lives in another node. It never starts one
itself: the node starts its own agents, and what the supervisor wants of one is a command to it.
What the node reports of an agent is a version, which only ever grows, so nothing that comes twice,
late or in another order changes anything; that is `remote_state`, a pure table. Each rule of
supervision holds for it as for a local child: what is done stays done, also in a node that comes
later; a node that leaves in order crashes nobody; no restart waits for an agent that has ended.
What was stopped for a restart is wanted again, also when its node goes meanwhile: the next one
runs it. A command has no time limit: an `on_start` may take minutes there as here.

The end of a tree leaves the agents of other nodes alone, as the death of its node does. The next
primary finds them as they are: it starts what was stopped, and decides about what has crashed. An
agent that no tree names is restarted by its own node, with the default limits.

`completion` says when all members have ended. `heartbeat` judges a node by its answers to pings;
who pings is for `civitas._cluster`.

It does no I/O of its own: restarts of others go through a function that it is given.
"""
