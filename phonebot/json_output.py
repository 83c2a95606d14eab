"""What commands print for scripts: JSON, in one form for all of them."""

import json
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def print_json(value: object) -> None:
    """On the standard output: no colours, no line is broken."""
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201  (for a script to read)
