"""How finished calls get into the store, and out of it again: their logs are read, filed, and in time deleted."""
