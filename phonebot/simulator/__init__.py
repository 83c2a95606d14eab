"""
Stand-ins for the other sides of a call: the carrier with its REST API, the person on the phone, and the model.

It shares no code with the service's own side: a mistake must not hide at both ends.
"""
