"""Agents: one object handles message after message, in a slot that outlives it.

Theory of operation
-------------------

A **slot** (`slot`) is an agent's place in its node. It has what must outlive a crash: the name,
the mailbox, the counters. The agent object in it comes and goes: a restart makes a fresh one of
the captured constructor arguments; what these may be stands in `settings`. Each object has one
task, which runs `on_start`, then the **message loop** (`message_loop`), then `on_stop`; what these
raise is a crash, whatever it is (`civitas.errors.crash_unless_cancelled`). `counts` has what is
counted of the agent, for how long it was busy, and what it has in hand; `running` tells a log
record which agent's task it comes from. The slot never decides
about a restart: it reports the end of a task, once, to its supervisor. What it says of itself to
other nodes, beyond the states below, stands in `states`. Instruments see each execution of
`handle`, each crash and each restart (`civitas.instruments`).

States of a slot (`ProcessStatus`), and what moves it:

    state        | event                                                  | becomes
    -------------+--------------------------------------------------------+-------------
    INITIALIZING | `on_start` returns                                     | RUNNING
                 | the constructor or `on_start` raises                   | CRASHED
    RUNNING      | the handler's error escalates, or `on_error` raises    | CRASHED
                 | the task is cancelled by somebody else                 | CRASHED
                 | the agent says `stop()`, and its task has ended        | STOPPED
                 | `stop` of the supervisor                               | STOPPING
    STOPPING     | the task has ended                                     | (as it is)
                 | ... and the node retires the agent                     | STOPPED
                 | ... and the supervisor starts a fresh object           | INITIALIZING
    CRASHED      | the supervisor starts a fresh object                   | INITIALIZING
                 | a task that the crashed object left behind says `stop` | STOPPED
    STOPPED      | nothing                                                |

Stop modes of a message loop. They only ever grow, but for a fresh object, which begins with
NEVER:

    mode         | set by                                  | the loop ends
    -------------+-----------------------------------------+-------------------------------------
    NEVER        |                                         | when the agent crashes
    WHEN_DRAINED | the supervisor, for a stop in order     | when the mailbox is empty
    NOW          | `stop()` of the agent, a restart,       | after the message in hand
                 | a stop whose time is over               |

What becomes of one message, and of the one who asked with it:

    outcome                        | who asked gets        | a durable transport
    -------------------------------+-----------------------+---------------------------------
    `handle` returns a reply       | it                    | acknowledges
    `handle` returns None          | UnansweredError       | acknowledges
    ... after it called `defer`    | what is given later   | when that is settled
    SKIP                           | AgentError            | acknowledges
    ESCALATE, STOP, a crash        | AgentError            | acknowledges if somebody asked, else
                                   |                       | gives it again
    the frame can't be read        | the error             | makes it a dead letter
    refused: no `@on` takes its    | MessageValidation-    | acknowledges if somebody asked, else
    type, or its payload is wrong  | Error                 | makes it a dead letter
    its time to live is over       | nothing: it timed out | acknowledges
    the agent is cancelled, or     | AgentError            | acknowledges if somebody asked, else
    ends, with the message in hand |                       | gives it again, uncounted
    ... or in its mailbox          | MessageRoutingError   | as the line above

Invariants
----------

- At most one object of a slot has the mailbox. An object that does not let itself be cancelled is
  left behind: what it does later, its `stop` included, changes nothing of the slot.
- A cancellation that is meant for the agent's task ends it; one of something that a hook awaited
  is an error of that hook.
- Who asked gets an answer for every message that was taken out of the mailbox: also when the
  object crashed, was cancelled, or is left behind.

It knows the bus, but neither supervisors nor nodes.
"""
