"""Supervision: what is restarted, when, and when to give up."""
