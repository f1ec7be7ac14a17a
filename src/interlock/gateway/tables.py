"""Tables of the ledger, the decision log, sessions, stored responses and pinned tools.

Labels stand in a side table, because "which decisions carried the tag `pii`"
must use an index in both databases, and most decisions carry no label at all.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = [
    "decision_labels",
    "decisions",
    "gateway_sessions",
    "recorder_marks",
    "session_annotations",
    "stored_responses",
    "tool_pins",
    "usage_records",
]

usage_records = Table(
    "usage_records",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("session_id", Text),
    Column("surface", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost", Double),
    Column("estimated", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("duration_s", Double, nullable=False),
    Column("first_byte_s", Double),
    Column("upstream_s", Double, nullable=False),
    Column("trace_id", Text),
    Column("dropped", JsonText),
    Index("ix_usage_records_at", "at"),
    Index("ix_usage_records_key_id_at", "key_id", "at"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("session_id", Text),
    Column("request_id", Text, nullable=False),
    Column("trace_id", Text),
    Column("surface", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("call_id", Text),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rule", Text),
    Column("rule_text", Text),
    Column("rule_line", Integer),
    Column("policy", Text),
    Column("caller", JsonText, nullable=False),
    Column("args", JsonText),
    Column("labels", JsonText, nullable=False),
    Column("rules", JsonText, nullable=False),
    Column("lineage", JsonText, nullable=False),
    Column("shadow", JsonText, nullable=False),
    Column("guards", JsonText, nullable=False),
    Column("basis", JsonText, nullable=False, server_default="{}"),
    Column("duration_s", Double, nullable=False),
    Index("ix_decisions_at_id", "at", "id"),
    Index("ix_decisions_account_id_at_id", "account_id", "at", "id"),
    Index("ix_decisions_verdict_at_id", "verdict", "at", "id"),
    Index("ix_decisions_tool_at_id", "tool", "at", "id"),
    Index("ix_decisions_rule_at_id", "rule", "at", "id"),
    Index("ix_decisions_key_id_at_id", "key_id", "at", "id"),
    Index("ix_decisions_session_id_at_id", "session_id", "at", "id"),
)

decision_labels = Table(
    "decision_labels",
    metadata,
    Column("label", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("decision_id", Text, primary_key=True),
    Index("ix_decision_labels_at", "at"),
)
"""`kind` is `tag`, `producer` or `consumer`. The primary key answers the filter by itself."""

gateway_sessions = Table(
    "gateway_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("suffix", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Index("ix_gateway_sessions_expires_at", "expires_at"),
    Index("ix_gateway_sessions_suffix_updated_at", "suffix", "updated_at"),
)
"""`suffix` is the last 12 characters of the id: all that compact tool-call ids carry of it.
`version` counts writes from 1, so that no process overwrites what it has not seen."""

session_annotations = Table(
    "session_annotations",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("source", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("document", JsonText, nullable=False),
    Index("uq_session_annotations_id", "id", unique=True),
    Index("ix_session_annotations_session_id_owner_n", "session_id", "owner", "n"),
    Index("ix_session_annotations_at", "at"),
)
"""`n` is the order they were made in; `owner` as in the state of the session."""

stored_responses = Table(
    "stored_responses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("retrievable", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("items", LargeBinary, nullable=False),
    Column("tools", LargeBinary, nullable=False),
    Column("previous_id", Text),
    Column("provider", Text, nullable=False),
    Index("ix_stored_responses_expires_at", "expires_at"),
)

tool_pins = Table(
    "tool_pins",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("tool", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("definition", JsonText, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("pending_digest", Text),
    Column("pending_definition", JsonText),
    Column("pending_since", Instant),
    Column("approved_at", Instant),
    Column("approved_by", Text),
)
"""`scope` is the key (its id) or MCP server a definition was offered on."""

recorder_marks = Table(
    "recorder_marks",
    metadata,
    Column("writer", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)
"""How far each batch writer has come; written in the batch's own transaction (exactly once)."""
