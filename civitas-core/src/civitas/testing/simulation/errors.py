"""What is raised when a simulation can't go on, or is asked for what it can't give."""

from __future__ import annotations


class SimulationError(RuntimeError):
    """What was asked for waits in real time, and so can't be simulated."""


class StuckError(SimulationError):
    """Nothing will ever happen again, or the run has taken longer than it may."""
