"""Traces of calls, for OpenTelemetry: an optional extra, and off unless the environment names who collects them."""
