"""Agents: one object handles message after message in a slot that outlives it."""
