"""Several processes: ours against bare pyzmq that carries the same bytes the same way."""
