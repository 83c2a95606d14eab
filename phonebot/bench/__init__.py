"""Measures this service from outside: what a call costs it, and how much later audio arrives because of it."""
