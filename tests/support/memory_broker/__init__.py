"""A broker in memory, with a round trip, and nodes that are connected to it by core's adapter."""
