"""Agents: one object handles message after message, in a slot that outlives it.

Theory of operation
-------------------

A **slot** (`slot`) is an agent's place in its node. It has what must outlive a crash: the name,
the mailbox, the counters. The agent object in it comes and goes: a restart makes a fresh one of
the captured constructor arguments; what these may be stands in `settings`. Each object has one
task, which runs `on_start`, then the **message loop** (`message_loop`), then `on_stop`; what these
raise is a crash, whatever it is (`civitas.errors.crash_unless_cancelled`). `counts` has what is
counted of the agent, for how long it was busy, and what it has in hand; `running` tells a log
record which agent's task it comes from. What authors may name as they like, the runtime reaches
through functions (`binding`). What an object has going on besides its messages (`own_work`) is
timers (`civitas._bus.timers`) and background tasks (`background`; `generators` of theirs). A
message that has failed may be handled again after a while (`retrying`); how delays grow, of
restarts too, is `backoff`. What is left in a mailbox at the end goes by `remains`. The slot never
decides about a restart: it reports the end of a task, once, to its supervisor. What it says of
itself to other nodes, beyond the states below, stands in `states`. Instruments see each execution
of `handle`, each crash and each restart (`civitas.instruments`).

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

A message loop has as many **consumers** (`consumer`) as the agent's `concurrency` says. A consumer
takes message after message out of the mailbox, and has one in hand. A lone one runs in the task of
the object; of several (`concurrency`) each has a task of its own, as long as the object lives: none
is made for a message. All take from the front of one mailbox, and begin with what they have taken
without a pause, so messages are begun in the order of the mailbox. They end in any order. The code
of a consumer is the same for one and for several. What is about the message in hand (`reply`,
`defer`) is found by the task in which it is called (`civitas._bus.sender`).

What ends several consumers; *the others* are those with a message in hand:

    event                                    | the others                 | then
    -----------------------------------------+----------------------------+---------------------
    a message of one escalates, or crashes   | take nothing more, and     | on_stop; the crash is
    it in another way                        | finish                     | the agent's
    ... another one does before they ended   | the same                   | it is logged, too
    ... `shutdown_timeout` is over           | are cancelled: their       | the same
                                             | messages are not counted   |
    one says `stop()`, or `on_error` STOP    | the same as for a crash    | on_stop; it is done
    the mailbox is empty, WHEN_DRAINED       | finish; the consumers that | on_stop
                                             | wait take what these bring |
    the task of the object is cancelled      | are cancelled              | on_stop
    a consumer's task is, by somebody else   | the same as for a crash    | that is the crash

Stop modes of a message loop. They only ever grow, but for a fresh object, which begins with
NEVER:

    mode         | set by                                  | the loop ends
    -------------+-----------------------------------------+-------------------------------------
    NEVER        |                                         | when the agent crashes
    WHEN_DRAINED | the supervisor, for a stop in order     | when the mailbox is empty
    NOW          | `stop()` of the agent, a restart,       | after the message in hand
                 | a stop whose time is over, a crash      |

What becomes of one message, and of the one who asked with it:

    outcome                        | who asked gets        | a durable transport
    -------------------------------+-----------------------+---------------------------------
    `handle` returns a reply       | it                    | acknowledges
    `handle` returns None          | UnansweredError       | acknowledges
    ... after it called `defer`    | what is given later   | when that is settled
    RETRY                          | what the next time brings: see `retrying`
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
- No more messages are in hand than the agent's `concurrency`, and each is settled by its own
  outcome.
- What an object has going on ends with it: no tick of its timers is handled, and no background
  task of it runs, once `on_stop` is called, but for one that ignores its cancellation.
- A cancellation that is meant for the agent's task ends it; one of something that a hook awaited
  is an error of that hook.
- Who asked gets an answer for every message that was taken out of the mailbox: also when the
  object crashed, was cancelled, or is left behind.

It knows the bus, but neither supervisors nor nodes.
"""
