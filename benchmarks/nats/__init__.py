"""NATS between processes: ours against bare nats-py that carries the same messages."""
