"""A real redis-server, and transports that are connected to it."""
