"""Calls for tests: a person on the phone whom a test tells what to do, in virtual time or against the service."""
