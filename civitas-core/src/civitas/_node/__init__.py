"""Node: what every process of a system has, and how it is built from a topology."""
