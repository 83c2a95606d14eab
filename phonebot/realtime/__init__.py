"""The Realtime protocol: one neutral language, two dialects, the providers, the connection."""
