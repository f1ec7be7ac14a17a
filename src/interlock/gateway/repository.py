"""All queries of the ledger, the decision log, sessions, stored responses and tool pins.

Pages go backwards in time by the pair (`at`, `id`), so that a row written meanwhile
neither shifts a page nor appears twice.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Float,
    Row,
    Select,
    Table,
    and_,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from interlock.gateway.lineage import without_previews
from interlock.gateway.records import DecisionRecord, SessionRecord, StoredResponse
from interlock.gateway.tables import (
    decision_labels,
    decisions,
    gateway_sessions,
    stored_responses,
    tool_pins,
    usage_records,
)
from interlock.identity.tables import gateway_keys
from interlock.storage.engine import Database

__all__ = [
    "DecisionFilter",
    "DecisionRepository",
    "GroupBy",
    "SessionRepository",
    "ToolPin",
    "ToolPinRepository",
    "UsageRepository",
    "UsageSum",
    "conditions",
]

GroupBy = Literal["day", "model", "key", "provider", "account", "endpoint"]

_JSON_COLUMNS = ("caller", "args", "labels", "rules", "lineage", "shadow", "guards", "basis")
_PURGE_ROWS = 2000


class DecisionFilter(Struct, frozen=True, kw_only=True):
    """Which decisions; every given member must hold."""

    account_id: str | None = None
    verdicts: tuple[str, ...] = ()
    tool: str | None = None
    """Exact, or a prefix ending in `*`."""
    rule: str | None = None
    """`<declaration>#<index>`, or the declaration alone."""
    label: str | None = None
    """`pii`, or with its kind: `tag:pii`, `producer:web`, `consumer:hr`."""
    key_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    since: float | None = None
    """Inclusive."""
    until: float | None = None
    """Exclusive."""


class UsageSum(Struct, frozen=True, kw_only=True):
    """Totals of one group of usage records."""

    group: dict[str, str]
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: float
    unpriced: int
    """Requests with tokens and no known price; their cost is not in `cost`."""
    estimated: int


class ToolPin(Struct, frozen=True, kw_only=True):
    """The approved definition of a tool, and a changed one that waits for approval."""

    scope: str
    tool: str
    digest: str
    definition: str
    first_seen_at: float
    last_seen_at: float
    pending_digest: str | None = None
    pending_definition: str | None = None
    pending_since: float | None = None
    approved_at: float | None = None
    approved_by: str | None = None


class DecisionRepository:
    """The decision log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        wanted: DecisionFilter,
        *,
        limit: int,
        before: tuple[float, str] | None = None,
        after: tuple[float, str] | None = None,
    ) -> list[DecisionRecord]:
        """Newest first; with `after`, the oldest ones after that position, oldest first."""
        query = select(decisions).where(*conditions(wanted))
        position = tuple_(decisions.c.at, decisions.c.id)
        if before is not None:
            query = query.where(position < before)
        if after is not None:
            query = query.where(position > after)
            query = query.order_by(decisions.c.at, decisions.c.id)
        else:
            query = query.order_by(decisions.c.at.desc(), decisions.c.id.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(query.limit(limit))).all()
        return [_decision(row) for row in rows]

    async def count(self, wanted: DecisionFilter, *, at_most: int | None = None) -> int:
        """How many there are; with `at_most` it looks no further than one more than that."""
        query = select(func.count()).select_from(decisions).where(*conditions(wanted))
        if at_most is not None:
            some = select(decisions.c.id).where(*conditions(wanted)).limit(at_most + 1)
            query = select(func.count()).select_from(some.subquery())
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def position(self, wanted: DecisionFilter, offset: int) -> tuple[float, str] | None:
        """The position of the decision with exactly `offset` newer ones."""
        query = (
            select(decisions.c.at, decisions.c.id)
            .where(*conditions(wanted))
            .order_by(decisions.c.at.desc(), decisions.c.id.desc())
            .offset(offset)
            .limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (row.at, row.id)

    async def one(self, decision_id: str, *, account_id: str | None) -> DecisionRecord | None:
        """A decision by id, within an account unless that is None."""
        query = select(decisions).where(decisions.c.id == decision_id)
        if account_id is not None:
            query = query.where(decisions.c.account_id == account_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _decision(row)

    async def forget_values(self, *, since: float, before: float, now: float) -> int:
        """Takes arguments and what was read out of decisions of that time, some at a time.

        Verdict, rule, ids and labels stay; `basis` says that and when the values went. Returns
        how many decisions were changed. Index: `ix_decisions_at_id`.
        """
        changed = 0
        after = (since, "")
        columns = (decisions.c.id, decisions.c.at, decisions.c.lineage, decisions.c.basis)
        while True:
            query = (
                select(*columns, decisions.c.args)
                .where(tuple_(decisions.c.at, decisions.c.id) > after, decisions.c.at < before)
                .order_by(decisions.c.at, decisions.c.id)
                .limit(_PURGE_ROWS)
            )
            async with self._database.transaction() as connection:
                rows = (await connection.execute(query)).all()
                for row in rows:
                    left = _without_values(row.args, row.lineage, row.basis, now)
                    if left is not None:
                        await connection.execute(
                            update(decisions).where(decisions.c.id == row.id).values(**left)
                        )
                        changed += 1
            if len(rows) < _PURGE_ROWS:
                return changed
            after = (rows[-1].at, rows[-1].id)

    async def purge(self, *, before: float) -> int:
        """Deletes decisions and their label rows older than `before`, some at a time."""
        await _purge(self._database, decision_labels, decision_labels.c.at < before)
        return await _purge(self._database, decisions, decisions.c.at < before)


class UsageRepository:
    """The ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(
        self,
        *,
        by: Sequence[GroupBy],
        since: float | None = None,
        until: float | None = None,
        account_id: str | None = None,
        key_id: str | None = None,
        model: str | None = None,
        provider: str | None = None,
    ) -> list[UsageSum]:
        """Totals by the given groups (none: one total), in group order. Days are UTC."""
        table = usage_records.c
        equal = {
            table.account_id: account_id,
            table.key_id: key_id,
            table.model: model,
            table.provider: provider,
        }
        groups = [_group_column(name, self._database.dialect).label(name) for name in by]
        query = select(*groups, *_SUMS).where(
            *_between(table.at, since, until),
            *(column == value for column, value in equal.items() if value is not None),
        )
        if groups:
            query = query.group_by(*groups).order_by(*map(text, by))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [_usage_sum(row, by) for row in rows]

    async def cost(self, key_id: str, *, since: float) -> float:
        """Dollars spent on a key since then. Index: `ix_usage_records_key_id_at`."""
        query = select(func.coalesce(func.sum(usage_records.c.cost), 0.0)).where(
            usage_records.c.key_id == key_id, usage_records.c.at >= since
        )
        async with self._database.read() as connection:
            return float((await connection.execute(query)).scalar_one())

    async def of_subject(
        self, kind: str, subject: str, *, since: float
    ) -> tuple[float, float] | None:
        """Dollars and tokens of a key, person or account since then; None: of nothing else.

        A person's are those of the person's keys, and of calls made as the person.
        """
        table = usage_records.c
        match kind:
            case "key":
                own = table.key_id == subject
            case "account":
                own = table.account_id == subject
            case "user":
                keys = select(gateway_keys.c.id).where(gateway_keys.c.user_id == subject)
                own = or_(table.key_id == subject, table.key_id.in_(keys))
            case _:
                return None
        query = select(
            func.coalesce(func.sum(table.cost), 0.0),
            func.coalesce(func.sum(table.input_tokens + table.output_tokens), 0),
        ).where(own, table.at >= since)
        async with self._database.read() as connection:
            usd, tokens = (await connection.execute(query)).one()
        return float(usd), float(tokens)

    async def purge(self, *, before: float) -> int:
        """Deletes records older than `before`, some at a time."""
        return await _purge(self._database, usage_records, usage_records.c.at < before)


class SessionRepository:
    """Gateway sessions and stored responses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def session(self, session_id: str) -> SessionRecord | None:
        """A session by id."""
        query = select(gateway_sessions).where(gateway_sessions.c.id == session_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        values = dict(row._mapping)
        values.pop("suffix")
        return SessionRecord(**values)

    async def save(self, record: SessionRecord) -> bool:
        """Stores a session on top of the version before it; False when that is not there."""
        table = gateway_sessions
        values = {**msgspec.structs.asdict(record), "suffix": record.id[-12:]}
        statement: ReturningUpdate[tuple[str]] | ReturningInsert[tuple[str]]
        if record.version > 1:
            former = table.c.id == record.id, table.c.version == record.version - 1
            statement = update(table).where(*former).values(values).returning(table.c.id)
        elif self._database.dialect == "sqlite":
            new = sqlite.insert(table).values(values).on_conflict_do_nothing()
            statement = new.returning(table.c.id)
        else:
            fresh = postgresql.insert(table).values(values).on_conflict_do_nothing()
            statement = fresh.returning(table.c.id)
        async with self._database.transaction() as connection:
            return (await connection.execute(statement)).one_or_none() is not None

    async def session_by_suffix(self, suffix: str) -> str | None:
        """Id of the newest session with these last 12 characters."""
        query = (
            select(gateway_sessions.c.id)
            .where(gateway_sessions.c.suffix == suffix)
            .order_by(gateway_sessions.c.updated_at.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
        return found

    async def response(self, response_id: str) -> StoredResponse | None:
        """A stored response by id."""
        query = select(stored_responses).where(stored_responses.c.id == response_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else StoredResponse(**row._mapping)

    async def purge(self, *, now: float) -> int:
        """Deletes sessions and responses that have expired, some at a time."""
        responses = stored_responses.c.expires_at < now
        sessions = gateway_sessions.c.expires_at < now
        return await _purge(self._database, stored_responses, responses) + await _purge(
            self._database, gateway_sessions, sessions
        )


class ToolPinRepository:
    """Known tool definitions by scope."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pins(self, scope: str | None = None, *, pending: bool = False) -> list[ToolPin]:
        """Pins of a scope (None: all), only those waiting for approval with `pending`."""
        query = select(tool_pins).order_by(tool_pins.c.scope, tool_pins.c.tool)
        if scope is not None:
            query = query.where(tool_pins.c.scope == scope)
        if pending:
            query = query.where(tool_pins.c.pending_digest.is_not(None))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [ToolPin(**row._mapping) for row in rows]

    async def save(self, pins: Sequence[ToolPin]) -> None:
        """Writes pins whole, replacing those of the same scope and tool."""
        if not pins:
            return
        rows = [msgspec.structs.asdict(pin) for pin in pins]
        keys = [(pin.scope, pin.tool) for pin in pins]
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(tool_pins).where(tuple_(tool_pins.c.scope, tool_pins.c.tool).in_(keys))
            )
            await connection.execute(tool_pins.insert(), rows)

    async def pin(self, connection: AsyncConnection, scope: str, tool: str) -> ToolPin | None:
        """One pin, within the caller's transaction."""
        query = select(tool_pins).where(tool_pins.c.scope == scope, tool_pins.c.tool == tool)
        row = (await connection.execute(query)).one_or_none()
        return None if row is None else ToolPin(**row._mapping)

    async def approve(
        self,
        connection: AsyncConnection,
        *,
        scope: str,
        tool: str,
        digest: str,
        by: str,
        at: float,
    ) -> bool:
        """Makes the waiting definition the approved one; False when it is not the waiting one."""
        done = await connection.execute(
            update(tool_pins)
            .where(
                tool_pins.c.scope == scope,
                tool_pins.c.tool == tool,
                tool_pins.c.pending_digest == digest,
            )
            .values(
                digest=tool_pins.c.pending_digest,
                definition=tool_pins.c.pending_definition,
                pending_digest=None,
                pending_definition=None,
                pending_since=None,
                approved_at=at,
                approved_by=by,
            )
        )
        return done.rowcount == 1


_SUMS = (
    func.count(func.distinct(usage_records.c.request_id)).label("requests"),
    func.count(
        func.distinct(case((usage_records.c.status >= 400, usage_records.c.request_id)))
    ).label("errors"),
    *(
        func.coalesce(func.sum(usage_records.c[f"{kind}_tokens"]), 0).label(f"{kind}_tokens")
        for kind in ("input", "output", "cache_read", "cache_write", "reasoning")
    ),
    func.coalesce(func.sum(usage_records.c.cost), 0.0).label("cost"),
    func.count(
        case(
            (
                and_(
                    usage_records.c.cost.is_(None),
                    usage_records.c.input_tokens + usage_records.c.output_tokens > 0,
                ),
                1,
            )
        )
    ).label("unpriced"),
    func.count(case((usage_records.c.estimated.is_(True), 1))).label("estimated"),
)


def _group_column(name: GroupBy, dialect: str) -> ColumnElement[Any]:
    table = usage_records.c
    if name == "day":
        if dialect == "sqlite":
            return func.strftime("%Y-%m-%d", table.at, "unixepoch")
        stamp = func.timezone("UTC", func.to_timestamp(cast(table.at, Float(53))))
        return func.to_char(stamp, "YYYY-MM-DD")
    columns: dict[str, ColumnElement[Any]] = {
        "model": table.model,
        "key": table.key_id,
        "provider": table.provider,
        "account": table.account_id,
        "endpoint": table.endpoint,
    }
    return columns[name]


def _usage_sum(row: Row[Any], by: Sequence[GroupBy]) -> UsageSum:
    values = dict(row._mapping)
    group: dict[str, str] = {name: str(values.pop(name)) for name in by}
    # PostgreSQL sums bigint as numeric.
    cost = float(values.pop("cost"))
    return UsageSum(group=group, cost=cost, **{name: int(value) for name, value in values.items()})


def _between(
    column: ColumnElement[float], since: float | None, until: float | None
) -> list[ColumnElement[bool]]:
    found = []
    if since is not None:
        found.append(column >= since)
    if until is not None:
        found.append(column < until)
    return found


def conditions(wanted: DecisionFilter) -> list[ColumnElement[bool]]:
    """What must hold of the rows of `decisions`."""
    table = decisions.c
    found = _between(table.at, wanted.since, wanted.until)
    equal = {
        table.account_id: wanted.account_id,
        table.key_id: wanted.key_id,
        table.session_id: wanted.session_id,
        table.request_id: wanted.request_id,
    }
    found.extend(column == value for column, value in equal.items() if value is not None)
    if wanted.verdicts:
        found.append(table.verdict.in_(wanted.verdicts))
    if wanted.tool is not None:
        prefix = wanted.tool.endswith("*")
        found.append(
            table.tool.startswith(wanted.tool[:-1], autoescape=True)
            if prefix
            else table.tool == wanted.tool
        )
    if wanted.rule is not None:
        exact = table.rule == wanted.rule
        found.append(
            exact
            if "#" in wanted.rule
            else or_(exact, table.rule.startswith(wanted.rule + "#", autoescape=True))
        )
    if wanted.label is not None:
        found.append(table.id.in_(_with_label(wanted)))
    return found


def _with_label(wanted: DecisionFilter) -> Select[tuple[str]]:
    label = wanted.label or ""
    kind, colon, rest = label.partition(":")
    query = select(decision_labels.c.decision_id)
    if colon and kind in {"tag", "producer", "consumer"}:
        query = query.where(decision_labels.c.label == rest, decision_labels.c.kind == kind)
    else:
        query = query.where(decision_labels.c.label == label)
    return query.where(*_between(decision_labels.c.at, wanted.since, wanted.until))


def _decision(row: Row[Any]) -> DecisionRecord:
    values = dict(row._mapping)
    for name in _JSON_COLUMNS:
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return DecisionRecord(**values)


def _without_values(
    args: str | None, lineage_json: str, basis_json: str, now: float
) -> dict[str, Any] | None:
    """What replaces the columns of a decision that hold values; None: it holds none."""
    lineage = msgspec.json.decode(lineage_json)
    kept = without_previews(lineage)
    if args is None and kept == lineage:
        return None
    basis = {**msgspec.json.decode(basis_json), "values": "removed", "values_removed_at": now}
    return {
        "args": None,
        "lineage": msgspec.json.encode(kept).decode(),
        "basis": msgspec.json.encode(basis).decode(),
    }


async def _purge(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    """Deletes in small transactions, so that no writer waits long for the lock."""
    columns = list(table.primary_key.columns)
    key = columns[0] if len(columns) == 1 else tuple_(*columns)
    statement = delete(table).where(key.in_(select(*columns).where(condition).limit(_PURGE_ROWS)))
    total = 0
    while True:
        async with database.transaction() as connection:
            done = (await connection.execute(statement)).rowcount
        total += done
        if done < _PURGE_ROWS:
            return total
