"""Runs of the benchmark as they might have been, and their tables as they are printed."""

import io

from rich.console import Console
from rich.table import Table

from phonebot.bench.report import Delays, Run


def run(server: str, cpu_ms: float = 3.0, **changed: object) -> Run:
    fields = {
        "calls": 50,
        "seconds": 20.0,
        "cpu_shares": (1.0,),
        "memory_mb": 80.0,
        "call_kb": 120.0,
        "to_model": Delays.of([1.0, 2.0, 3.0]),
        "to_caller": Delays.of([4.0]),
        "first_audio": Delays(),
        "fault_count": 0,
        "faults": (),
        "load_busy": 0.3,
        "frames_late_ms": Delays(),
        "others_busy": 0.25,
        **changed,
    }
    return Run(server=server, cpu_ms=cpu_ms, **fields)  # type: ignore[arg-type]


def printed(table: Table, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
