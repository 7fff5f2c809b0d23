"""JetStream: messages to agents are kept in a stream until they are processed (at-least-once).

A sender's frame is stored by `publisher` in the stream that `streams` describes. On the other side
one `consumer` for each agent gives frames to the agent's handler, one after the other. It stands on
these parts:

- `lease` owns the durable consumer at the server, and notices when another process takes it over;
- `pull_reader` pulls messages and gets back in step when one was lost;
- `window` is the arithmetic of both: what is asked for, what is held, what is missing;
- `acknowledgements` sends the server what became of each message;
- `prior_state` is what one process leaves to the next about the first message;
- `dead_letters` keeps what was given up. `dead_letter_store` is for the command line, which lists,
  returns, moves and removes that, and what waits for an agent.

Where JetStream is off, `catching` sees that no stream is left which keeps messages to agents.

`durable_delivery` puts them together for the transport; `api` is what is asked of JetStream itself.

Invariants:

- A message is acknowledged after it was processed, or was stored as a dead letter.
- The messages of an agent are handled in the order of the stream, also after retries, restarts and
  takeovers.
- A process that learns of its successor handles no more messages of that agent.
"""
