"""Calls that we make: whether and when somebody may be called, who dials, and what became of it."""
