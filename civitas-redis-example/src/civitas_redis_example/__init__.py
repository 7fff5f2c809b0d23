"""A Redis transport for Civitas, and a model for transports of your own: begin with plugin.py."""
