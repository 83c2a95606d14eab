"""The functions of a clinic's two agents, on tables in SQLite: what `phonebot demo --profile clinic` runs."""
