"""The call log: written while a call runs, read again to replay it."""
