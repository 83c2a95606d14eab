"""Looks at what is said and done in calls, for the guardrails of their profiles."""
