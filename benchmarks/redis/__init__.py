"""Redis between processes: ours against bare redis-py that carries the same messages."""
