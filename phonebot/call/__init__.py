"""
The core of one call. It does no I/O, reads no clock and logs nothing.

What happens comes in as an input with its time, what is to be done goes out as actions: `Call.receive(input, now)`.
Hence a recorded call replays to the same actions.
"""
