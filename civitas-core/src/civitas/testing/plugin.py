"""The pytest plugin of the conformance kit; loaded by every pytest run, so it imports nothing."""
