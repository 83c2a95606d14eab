"""The carrier: the messages of its media stream, the TwiML it is answered with, the signature that proves it."""
