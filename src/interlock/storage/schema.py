"""The shared table registry and the column types all tables are made of.

Each domain package declares its tables in its own `tables.py` on `metadata`.
Instants are seconds since the epoch (UTC) as double precision; JSON is kept as
text in both databases, because PostgreSQL's `jsonb` refuses the NUL character
that a tool argument may well contain.
"""

from sqlalchemy import Double, MetaData, Text
from sqlalchemy.types import TypeEngine

__all__ = ["Instant", "JsonText", "metadata"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant: type[TypeEngine[float]] = Double
"""Seconds since the epoch."""

JsonText: type[TypeEngine[str]] = Text
"""A JSON document as text."""
