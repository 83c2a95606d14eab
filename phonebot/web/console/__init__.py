"""The operator's pages, and the phone in them. What they are made of lies in `static` and `templates`."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"
