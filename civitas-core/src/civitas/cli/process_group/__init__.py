"""The processes that `civitas up` runs together: their starts, their ends and their output."""
