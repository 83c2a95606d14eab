"""Telephone audio: G.711, resampling, conversion between the formats of both sides, WAV files. No I/O but `wav`."""
