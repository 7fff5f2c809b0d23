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
itself: the node starts its own agents, and a restart is a command to it. What the node reports of
the agent comes as states (with answers to pings and announcements) and as crashes; each has the
*incarnation*, how often the agent had been started, so that an old report changes nothing.

    state        | event                                                     | becomes
    -------------+-----------------------------------------------------------+-------------
    INITIALIZING | its node reports RUNNING                                  | RUNNING
                 | the strategy stops it                                     | STOPPING
    RUNNING      | its node reports a crash of this or a later incarnation   | CRASHED
                 | the strategy stops it                                     | STOPPING
                 | its node says goodbye                                     | INITIALIZING
                 | its node dies                                             | CRASHED
    STOPPING     | the restart was carried out                               | RUNNING
                 | the restart failed                                        | CRASHED
    CRASHED      | the restart was carried out                               | RUNNING
                 | its node was lost, and the next one reports RUNNING       | RUNNING
    any          | its node reports that the agent is done                   | STOPPED

While it is held (between the stop of a strategy and the restart), reports of the same incarnation
are stale. A crash that is reported while a restart is under way waits for the outcome, which says
whether it is of the old incarnation or of the new one.

`heartbeat` judges a node by its answers to pings; who pings is for `civitas._cluster`.

It does no I/O of its own: restarts of others go through a function that it is given.
"""
