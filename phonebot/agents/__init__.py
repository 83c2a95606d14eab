"""Who answers a number and how: profiles, read from a file and checked. Data only, no I/O but `Numbers.load`."""
