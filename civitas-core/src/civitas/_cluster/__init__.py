"""Cluster: how nodes find each other, watch each other, and call each other.

Theory of operation
-------------------

`cluster` is the one object that the rest of the node uses. Below it are two halves, each with its
own instance of the transport where the transport crosses processes:

    control plane   in a thread of its own (`control_plane`): who belongs to the system
      membership    what each message means, and when to speak
      authority     who may say what: the rule of each message
      proofs        whether who speaks as a node hears what is said to that node
      admission     how a node is let in
      announcements what this node announces of itself: wholes, changes and beacons
      member_table  who is in, and under which names
      departures    the nodes that have gone, and since when
      finished_agents  the agents that are done, which a node repeats at its end
      naming        what this node says where two want one name
      claims        who of them gets it
      discovery     this node's own search for the others
      failure_detector  pings to the others, and which of them are silent
      liveness      whether another node lives, whether our own event loop runs
      clocks        by how much the clocks of other nodes are ahead
      rpc           commands and queries until they are answered
      pieces        messages that are larger than a frame may be
    data plane      in the event loop of the node (`data_plane`): routes, and who can be reached
      agent_routes  the routes to agents of other nodes, as these announce them and leave
      probes        the small messages for that
      leaving       how an agent, or all of a node, takes no more, and nothing goes unaccounted

    protocol        all that nodes say, typed
    codec           its frames: makes them, and checks what comes
    node_log        what a node logs of the others
    drop_reports    what the control plane drops, told to the node's event loop
    standing        what this node knows of its own place, for those who only look
    events          what the control plane reports to the node's event loop
    config          what binds the node's transports to all this

Every node decides for itself, by the same rules, from what it hears; nobody is asked for
permission. A node is heard when it has proved that it hears what is said to it; until then nothing
is kept for it, and nothing that it says counts. Names (a process name, the names of agents) are
claimed by a hello and settled when nobody objects. Of two live claims the settled one stays, of two
settled ones the older, of two new ones the lower node id. A node that was declared dead is fenced
by id and generation: its frames are refused everywhere, and when it resumes it hears of it and
ends.

Another node, as the membership sees it:

    state    | event                                         | becomes
    ---------+-----------------------------------------------+--------------------
    unknown  | hello without a proof                         | unknown; it is challenged
             | a proved hello or welcome, its names are free | member
             | the same, and a member has one                | claiming
             | a change, a beacon or a ping                  | unknown; this node says hello to it
    claiming | the holder of the name answers a ping in time | unknown, refused
             | the holder stays silent                       | member
    member   | its goodbye                                   | departed
             | a change or a beacon after a revision that    | member; it is asked for what was
             | this node does not know                       | missed
             | no answer to the pings of this primary        | fenced
             | silent, and this is not the primary           | missing
             | the primary says that it is dead              | fenced
             | silent, and unknown to the primary when asked | missing
    missing  | a proved hello or welcome                     | member
             | another node takes one of its names           | fenced
    departed | a hello with a later proof: it lives          | member
             | which of its agents were done                 | departed; that counts
             | anything else: its goodbye had overtaken it   | departed
    fenced   | which of its agents were done                 | fenced; that counts
             | anything but `Fenced` and `Left`              | fenced; it hears so

This node itself is evicted when the primary says that it is dead, when a node says so while this
one may be cut off, or when it is refused and the other's claim prevails (`naming`). The states of
its own search stand in `discovery`.

Another node, as the data plane sees it:

    state     | event                                        | becomes
    ----------+----------------------------------------------+-----------
    unknown   | the membership has let it in                 | probed
    probed    | it answers a probe by the data transport     | reachable: its agents have routes
    reachable | the connection was lost, and is back         | probed: its routes pause
              | it says that it leaves                       | reachable: its routes retire; they
              |                                              | open again when it says that it stays
              | it announces changes                         | reachable: routes open, or retire
    any       | it has left, or died                         | unknown: its routes close
              | it is silent, but may come back              | unknown; its numbers are remembered

Invariants
----------

- A node is in only under names that nobody else has, and an agent's name has at most one route.
- Nothing is sent to an agent of another node before this node's own probe was answered.
- What was sent is accounted for where it came, or counted as lost: there by its number, or here
  when the other node has gone before.
- Silence counts for nothing while this node could not hear: its connection was lost, its process
  stood still, or its pings to itself do not come back.
- Whatever is lost heals without a new event: each settled node repeats a beacon, with its revision.
- The work at a change is that of the agents that have changed, at the sender and at the receivers.
- What is kept for other nodes has a limit, and nothing is kept for one that is not known.
- Bytes from the network may be anything: what is no message is dropped and counted, and no
  handler raises.

It knows neither supervisors nor agents' objects: what is about agents goes on to the node, as
events.
"""
