"""Builders that several rooms of the suite share."""
