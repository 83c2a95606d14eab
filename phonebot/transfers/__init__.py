"""Transfers to people: the function the model calls, whom the carrier rings, and what becomes of the caller."""
