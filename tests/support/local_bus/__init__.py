"""A small cross-process transport for tests: a broker on a unix socket, and its clients."""
