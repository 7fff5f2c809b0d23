"""Bus: from a name to a frame on the transport, and from a frame to a mailbox.

Theory of operation
-------------------

A message goes through these files, in this order:

    sender          an agent's verbs: the message is composed in the agent's name and trace
    arguments       of the verbs: those of unusual types are made usual, or refused
    watched_bus     instruments, where there are any, see the message first (`instrument_guards`
                    keeps what they do wrong away from it)
    bus             the name is looked up once; what is found decides everything that follows
    routes          for an agent of another node: a number, and credit or a place in the line for it
    codec           the message becomes a frame: one encoding for each hop
    batching        for other nodes: what goes to one address in one turn is one message of the wire
    (transport)     carries the frame to the handler of the agent's address
    receivers       that handler puts the frame into the mailbox
    mailbox         the frame waits for its agent; the senders of this process wait for room
    codec           the agent's message loop reads the frame: one decoding for each hop

To an agent of the same process the way is shorter. Of a message that does not leave the process
only the payload is packed, so that the receiver has one of its own, and it is judged as ever; the
other thirteen fields are the receiver's already (`local_delivery`):

    bus             finds a mailbox of this process
    local_delivery  packs the payload, or has a frame made of whatever is unusual
    mailbox         the message waits there, with its packed payload, among frames
    codec           the agent's message loop unpacks the payload

An answer to who has asked so goes straight to who waits for it, with its payload packed. What a
reader or a callback for dead letters sees is in both cases the same, and so are all errors.

The **routing table** is one dict, the registry's entries, and nothing else says where an agent
is. An entry is a `LocalRoute` (a mailbox) or a `RemoteRoute` (a window to another node); the
table of states of a name stands in `routing_table`.

A transport that declares no capabilities is wrapped (`bare_transport`), so that nothing else
needs to know of its ways.

**Back-pressure** makes a sender wait in one of two places. For an agent of its own process it is
`mailbox`: the transport awaits the receiver, so the sender itself waits for room. For an agent of
another node it is `routes`: at most a window of frames is under way, and the node of the agent
returns credit as the agent's mailbox takes them (`accounting`). `windows` is the arithmetic of
both ends, `wait_queue` the line in both places.

**Loss** has two kinds. A frame is *lost* when it did not arrive: the receiver counts the gap in
the numbers (`windows`, `accounting`). It is *dropped* when it could not be taken: whoever drops
it records it (`dead_letters`), and the user's callbacks are called (`callbacks`).

Over a transport that is **at-least-once** nothing is numbered. The receiver wraps the frame into
a `DurableFrame` and waits until whoever has it in hand has settled it (`settlement`).

A **reply** goes to the address that the request bears, and only if that is an address for replies
(`codec`); the transport's `ReplyInbox` finds the one who asked, and takes the answer only from the
node that was asked. A transport without capabilities has a scheme of its own. `answers` sends
replies; one that says why there is no answer becomes an exception for who asked (`error_replies`).
An answer that is given after its handler has returned is open until then (`deferred`). Agents that
wait for each other's answers are seen in `wait_for_graph`, and the last of them is refused its ask.

An agent's message to itself that comes later (`timers`) has a reserved place in the mailbox, beside
the room that senders wait for. `binding` is what an agent object reaches all of this through.

A bus is used in one event loop of one process (`affinity`): all of the above is written for a
single thread, and what waits is woken by its own loop.

Invariants
----------

- A frame has a number only if its route has a window, and numbers are given in the order of
  sending. The number of a frame that was not sent is given back: the next frame has it, or the
  receiver hears that no frame does. What may have been sent keeps its number, and counts as sent:
  so it was handled, or is counted as lost.
- An answer is never a message: it goes to no agent, and an agent's mailbox takes none.
- No number of a node's frames to an agent is taken twice while both know each other.
- A frame of this process is in exactly one place: on its way, in a mailbox, with a waiting
  sender, or in the hand of its agent. When an agent ends, each of these is accounted for.
- Frames for one address of another node leave in the order of their numbers, answers in that of
  their sending: what waits for the end of a turn, or for room, is overtaken by none.
- A handler of the bus never raises for what it was given, except to settle a durable frame.

It knows neither agents' classes nor other nodes: who is there, and why, is for
`civitas._cluster`.
"""
