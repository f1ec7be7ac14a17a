"""Which sink a database has."""

from interlock.gateway.recorder.sink import Sink
from interlock.gateway.recorder.sqlite_sink import SqliteSink
from interlock.storage.engine import Database

__all__ = ["sink_for"]


def sink_for(database: Database) -> Sink:
    """The sink of a database."""
    if database.dialect == "sqlite":
        return SqliteSink(database)
    # psycopg takes 9 MB of memory, which a server on SQLite does without.
    from interlock.gateway.recorder.postgres_sink import PostgresSink  # noqa: PLC0415

    return PostgresSink(database)
