"""Measures how a carrier plays, marks and clears, in one call; `measurement` and what it imports does no I/O."""
