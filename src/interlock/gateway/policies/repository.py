"""All queries of the policy store. Each takes the connection of the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import Row, Select, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.gateway.policies.model import (
    Binding,
    Policy,
    PolicySet,
    PolicySummary,
    State,
    StoredTest,
    Version,
)
from interlock.gateway.policies.tables import (
    policies,
    policy_bindings,
    policy_tests,
    policy_versions,
    request_policies,
)
from interlock.identity.tables import accounts
from interlock.policy.model import PolicySource

__all__ = ["PolicyRepository"]

_IN_EFFECT = ("active", "shadow")
_CHUNK = 200


class PolicyRepository:
    """Policies, versions, bindings and tests, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # --- policies and versions ---------------------------------------------------------

    async def policy(self, account_id: str, name: str) -> Policy | None:
        """A policy of an account (`""`: of the server) by name."""
        query = select(policies).where(policies.c.account_id == account_id, policies.c.name == name)
        row = (await self._run(query)).one_or_none()
        return None if row is None else Policy(**row._mapping)

    async def policies(self, ids: Sequence[str]) -> list[Policy]:
        """Policies by id."""
        query = select(policies).where(policies.c.id.in_(ids))
        return [Policy(**row._mapping) for row in (await self._run(query)).all()]

    async def summaries(self, account_id: str) -> list[PolicySummary]:
        """Every policy of an account, by name."""
        rows = (
            await self._run(
                select(policies)
                .where(policies.c.account_id == account_id)
                .order_by(policies.c.name)
            )
        ).all()
        newest = await self._per_policy(
            select(policy_versions.c.policy_id, func.max(policy_versions.c.n))
        )
        bound = await self._per_policy(select(policy_bindings.c.policy_id, func.count()))
        tests = await self._per_policy(select(policy_tests.c.policy_id, func.count()))
        states = select(
            policy_versions.c.state, policy_versions.c.policy_id, policy_versions.c.n
        ).where(policy_versions.c.state.in_(_IN_EFFECT))
        held = {(row.state, row.policy_id): row.n for row in (await self._run(states)).all()}
        return [
            PolicySummary(
                policy=Policy(**row._mapping),
                newest=newest.get(row.id, 0),
                active=held.get(("active", row.id)),
                shadow=held.get(("shadow", row.id)),
                bindings=bound.get(row.id, 0),
                tests=tests.get(row.id, 0),
            )
            for row in rows
        ]

    async def add_policy(self, policy: Policy) -> None:
        """Stores a new policy."""
        await self._run(policies.insert().values(**asdict(policy)))

    async def versions(self, policy_id: str) -> list[Version]:
        """Every version of a policy, newest first."""
        query = (
            select(policy_versions)
            .where(policy_versions.c.policy_id == policy_id)
            .order_by(policy_versions.c.n.desc())
        )
        return [Version(**row._mapping) for row in (await self._run(query)).all()]

    async def version(self, policy_id: str, n: int) -> Version | None:
        """One version."""
        query = select(policy_versions).where(
            policy_versions.c.policy_id == policy_id, policy_versions.c.n == n
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else Version(**row._mapping)

    async def newest(self, policy_id: str) -> Version | None:
        """The newest version."""
        query = (
            select(policy_versions)
            .where(policy_versions.c.policy_id == policy_id)
            .order_by(policy_versions.c.n.desc())
            .limit(1)
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else Version(**row._mapping)

    async def in_state(self, policy_id: str, state: State) -> Version | None:
        """The version that is in effect (`active`), or watched (`shadow`)."""
        query = select(policy_versions).where(
            policy_versions.c.policy_id == policy_id, policy_versions.c.state == state
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else Version(**row._mapping)

    async def add_version(self, version: Version) -> None:
        """Stores a new version."""
        await self._run(policy_versions.insert().values(**asdict(version)))

    async def change_version(self, version: Version, **values: Any) -> None:  # noqa: ANN401
        """Changes the state columns of a version."""
        await self._run(
            update(policy_versions)
            .where(
                policy_versions.c.policy_id == version.policy_id, policy_versions.c.n == version.n
            )
            .values(**values)
        )

    # --- what is in effect ---------------------------------------------------------------

    async def states(self) -> list[tuple[str, int, State]]:
        """`(policy_id, n, state)` of every version in effect or watched."""
        query = select(
            policy_versions.c.policy_id, policy_versions.c.n, policy_versions.c.state
        ).where(policy_versions.c.state.in_(_IN_EFFECT))
        return [(row.policy_id, row.n, row.state) for row in (await self._run(query)).all()]

    async def versions_by_key(self, keys: Sequence[tuple[str, int]]) -> list[Version]:
        """Versions by `(policy_id, n)`."""
        found: list[Version] = []
        key = tuple_(policy_versions.c.policy_id, policy_versions.c.n)
        for start in range(0, len(keys), _CHUNK):
            query = select(policy_versions).where(key.in_(keys[start : start + _CHUNK]))
            found += [Version(**row._mapping) for row in (await self._run(query)).all()]
        return found

    async def policy_set(self) -> PolicySet:
        """Everything in effect, as this transaction sees it."""
        states = await self.states()
        versions = await self.versions_by_key([(policy_id, n) for policy_id, n, _ in states])
        bindings = await self.bindings()
        ids = {item.policy_id for item in versions} | {item.policy_id for item in bindings}
        return PolicySet.of(await self.policies(sorted(ids)), versions, bindings)

    # --- bindings -------------------------------------------------------------------------

    async def bindings(self, policy_id: str | None = None) -> list[Binding]:
        """Bindings of a policy; None: all."""
        query = select(policy_bindings)
        if policy_id is not None:
            query = query.where(policy_bindings.c.policy_id == policy_id)
        return [Binding(**row._mapping) for row in (await self._run(query)).all()]

    async def put_binding(self, binding: Binding) -> None:
        """Stores a binding, replacing the one with its id."""
        await self.remove_binding(binding.id)
        await self._run(policy_bindings.insert().values(**asdict(binding)))

    async def remove_binding(self, binding_id: str) -> None:
        """Removes a binding."""
        await self._run(delete(policy_bindings).where(policy_bindings.c.id == binding_id))

    async def has_account(self, account_id: str) -> bool:
        """Whether there is such an account."""
        query = select(accounts.c.id).where(accounts.c.id == account_id)
        return (await self._run(query)).one_or_none() is not None

    # --- tests ----------------------------------------------------------------------------

    async def tests(self, policy_id: str) -> list[StoredTest]:
        """The tests of a policy, by name."""
        query = (
            select(policy_tests)
            .where(policy_tests.c.policy_id == policy_id)
            .order_by(policy_tests.c.name)
        )
        return [_test(row) for row in (await self._run(query)).all()]

    async def put_test(self, test: StoredTest) -> None:
        """Stores a test, replacing the one of the same name."""
        await self.remove_test(test.policy_id, test.name)
        document = msgspec.json.encode(test.document).decode()
        await self._run(policy_tests.insert().values(**{**asdict(test), "document": document}))

    async def remove_test(self, policy_id: str, name: str) -> bool:
        """Removes a test; False when there is none of this name."""
        done = await self._run(
            delete(policy_tests).where(
                policy_tests.c.policy_id == policy_id, policy_tests.c.name == name
            )
        )
        return bool(done.rowcount)

    # --- policies of requests ---------------------------------------------------------------

    async def put_request_policies(self, sources: Mapping[str, PolicySource], *, at: float) -> None:
        """Stores texts by digest; of those that are there already only the last use moves."""
        known = select(request_policies.c.digest).where(request_policies.c.digest.in_(sources))
        there = set((await self._run(known)).scalars())
        if there:
            await self._run(
                update(request_policies)
                .where(request_policies.c.digest.in_(there))
                .values(used_at=at)
            )
        rows = [
            {"digest": digest, "language": source.language, "text": source.text, "used_at": at}
            for digest, source in sources.items()
            if digest not in there
        ]
        if rows:
            await self._connection.execute(request_policies.insert(), rows)

    async def request_policy(self, digest: str) -> tuple[str, str] | None:
        """Language and text."""
        query = select(request_policies.c.language, request_policies.c.text).where(
            request_policies.c.digest == digest
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else (row.language, row.text)

    async def purge_request_policies(self, *, before: float) -> int:
        """Removes texts no request has used since."""
        done = await self._run(delete(request_policies).where(request_policies.c.used_at < before))
        return int(done.rowcount)

    async def _run(self, statement: Any) -> Any:  # noqa: ANN401 - typed by its callers
        return await self._connection.execute(statement)

    async def _per_policy(self, query: Select[tuple[str, int]]) -> dict[str, int]:
        column = query.selected_columns[0]
        return {row[0]: row[1] for row in (await self._run(query.group_by(column))).all()}


def _test(row: Row[Any]) -> StoredTest:
    values = dict(row._mapping)
    values["document"] = msgspec.json.decode(values["document"])
    return StoredTest(**values)
