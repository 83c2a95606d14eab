"""What a process and its children have used, read from outside (Linux, proc(5))."""

import os
from pathlib import Path

PROC = Path("/proc")
PARENT, USER_TICKS, SYSTEM_TICKS = 1, 11, 12  # in /proc/PID/stat, counted behind the name
WAITED_TICKS = (13, 14)  # likewise, user and system
RESIDENT_PAGES = 1  # in /proc/PID/statm


def family(pid: int) -> tuple[int, ...]:
    """The process and all that descend from it, those of them that still run."""
    parents = dict[int, int]()
    for folder in PROC.glob("[0-9]*"):
        if fields := _stat(int(folder.name)):
            parents[int(folder.name)] = int(fields[PARENT])
    found = [pid] if pid in parents else []
    for member in found:  # grows meanwhile
        found += [child for child, parent in parents.items() if parent == member]
    return tuple(found)


def parent(pid: int) -> int | None:
    """Who started a process; None: it has ended."""
    fields = _stat(pid)
    return int(fields[PARENT]) if fields else None


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, in all its threads, user and system; 0 where it has ended."""
    fields = _stat(pid)
    ticks = int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS]) if fields else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def waited_cpu_s(pid: int) -> float:
    """CPU time of those of its children that have ended, and theirs; 0 where it has ended itself."""
    fields = _stat(pid)
    return sum(int(fields[each]) for each in WAITED_TICKS) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def resident_mb(pid: int) -> float:
    """Memory that a process holds (resident set, so with what it shares with others); 0 where it has ended."""
    try:
        fields = (PROC / str(pid) / "statm").read_text().split()
    except OSError:
        return 0.0
    return int(fields[RESIDENT_PAGES]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _stat(pid: int) -> list[str]:
    """Empty where the process has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
