"""Alembic's: how the tables came to be, step by step. `Database.upgrade` runs them."""
