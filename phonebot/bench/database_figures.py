"""What a PostgreSQL says of itself: its log, its size, its connections; and what /proc says of its processes."""

import time
from pathlib import Path

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.bench.processes import PROC, cpu_s, family, parent, waited_cpu_s
from phonebot.store.database import Database

FILED = ("calls", "call_texts", "turns", "tool_calls", "usage")
"""What a filed call has rows in."""

_SIZES = text("SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relname = ANY(:tables)")
_SERVER = text(
    "SELECT current_setting('server_version') AS version, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS wal_bytes, "
    "pg_database_size(current_database()) AS size_bytes, "
    "current_setting('max_connections')::int AS most_connections, "
    "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections, "
    "coalesce(host(inet_server_addr()) IN ('127.0.0.1', '::1'), true) AS is_here, pg_backend_pid() AS pid"
)
_UPDATES = text(
    "SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'live_calls'"
)


class Figures(msgspec.Struct, frozen=True):
    """
    At one moment, `at_s` of time.perf_counter. Sizes are in bytes: `filed_bytes` those of the tables of filed
    calls, `live_bytes` that of calls in progress, indexes with them. `cpu_s`: CPU time of the server's processes;
    None: it runs elsewhere. `updated`: rows of live calls that were, `hot` of them without touching an index.
    """

    at_s: float
    version: str
    wal_bytes: int
    size_bytes: int
    filed_bytes: int
    live_bytes: int
    connections: int
    most_connections: int
    cpu_s: float | None
    updated: int
    hot: int


class Growth(msgspec.Struct, frozen=True):
    """
    What a database did between two moments. `wal_mb_s`: MB of write-ahead log a second. `per_call_bytes`: by which
    the tables of filed calls grew for each; None: none was filed. `hot`: share of the updates of live calls that
    touched no index; None: there were none. `cores`: CPU of its processes; None: it runs elsewhere.
    """

    version: str
    wal_mb_s: float
    per_call_bytes: float | None
    live_mb: float
    size_mb: float
    hot: float | None
    connections: int
    most_connections: int
    cores: float | None


async def figures_of(database: Database) -> Figures:
    """Raises StoreUnavailable."""
    async with database.read() as session:
        row = (await session.execute(_SERVER)).one()
        cpu = _server_cpu_s(row.pid) if row.is_here else None
        updates = (await session.execute(_UPDATES)).one_or_none()
        return Figures(
            at_s=time.perf_counter(),
            version=row.version,
            wal_bytes=int(row.wal_bytes),
            size_bytes=row.size_bytes,
            filed_bytes=await _size(session, *FILED),
            live_bytes=await _size(session, "live_calls"),
            connections=row.connections,
            most_connections=row.most_connections,
            cpu_s=cpu,
            updated=updates.updated if updates else 0,
            hot=updates.hot if updates else 0,
        )


def growth(before: Figures, after: Figures, filed: int) -> Growth:
    """What happened between the two, in which so many calls were filed."""
    seconds = after.at_s - before.at_s
    updated = after.updated - before.updated
    measured = before.cpu_s is not None and after.cpu_s is not None
    return Growth(
        version=after.version,
        wal_mb_s=(after.wal_bytes - before.wal_bytes) / seconds / 1e6,
        per_call_bytes=(after.filed_bytes - before.filed_bytes) / filed if filed else None,
        live_mb=after.live_bytes / 1e6,
        size_mb=after.size_bytes / 1e6,
        hot=(after.hot - before.hot) / updated if updated else None,
        connections=after.connections,
        most_connections=after.most_connections,
        cores=((after.cpu_s or 0) - (before.cpu_s or 0)) / seconds if measured else None,
    )


async def _size(session: AsyncSession, *tables: str) -> int:
    return int(await session.scalar(_SIZES, {"tables": list(tables)}) or 0)


def _server_cpu_s(backend: int) -> float | None:
    """Of the server that this backend belongs to, with those of its processes that have ended; None: unknown."""
    if not _is_postgres(backend) or not (server := parent(backend)):
        return None
    return waited_cpu_s(server) + sum(map(cpu_s, family(server)))


def _is_postgres(pid: int) -> bool:
    """A server in a container of its own has other numbers than ours."""
    try:
        return "postgres" in Path(PROC / str(pid) / "comm").read_text()
    except OSError:
        return False
