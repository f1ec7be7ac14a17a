"""Tables of the event log.

`event_counter` has one row: the last number given out. It is changed in the transaction
that appends, so a rollback takes the numbers back and there are no holes. `event_heads`
keeps the last instant of each stream longer than its events.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from interlock.storage.schema import JsonText, metadata

__all__ = ["event_counter", "event_heads", "events"]

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("stream", String(200), nullable=False),
    Column("public_id", String(300), nullable=False),
    Column("type", String(64), nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("audience", String(64)),
    Column("at_ms", BigInteger, nullable=False),
    Column("key", Text),
    Index("ix_events_stream_seq", "stream", "seq"),
    Index("uq_events_stream_at_ms", "stream", "at_ms", unique=True),
    Index("uq_events_stream_public_id", "stream", "public_id", unique=True),
)

event_heads = Table(
    "event_heads",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("last_ms", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
)
"""`count` is how many events the last append to the stream had."""

event_counter = Table(
    "event_counter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
)
