"""At-least-once: messages to agents are kept in a stream until they are processed."""
