"""Saves policy texts as versions, and keeps and runs their tests. Audited.

What puts them into effect is in `activation` and `binding`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.gateway.policies.bound import PolicyReader
from interlock.gateway.policies.checks import (
    check_text,
    diagnostics,
    run_tests,
    split_tests,
    try_test,
)
from interlock.gateway.policies.errors import (
    InvalidPolicyError,
    PolicyNotFoundError,
    PolicyStateError,
    PolicyTestNotFoundError,
    VersionNotFoundError,
)
from interlock.gateway.policies.model import (
    SERVER,
    Language,
    Policy,
    PolicySet,
    PolicySummary,
    StoredTest,
    Version,
    source_of,
)
from interlock.gateway.policies.repository import PolicyRepository
from interlock.identity.audit import AuditLog
from interlock.identity.errors import AccountNotFoundError
from interlock.identity.model import Actor
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_id
from interlock.policy.case_runs import CaseResult
from interlock.policy.errors import Diagnostic
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database

__all__ = ["LOCK", "PolicyStore", "Saved", "find_policy", "find_version", "log_change"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
LOCK = "policies"
"""Purpose of `Database.exclusive`: one change of the policies happens at a time."""
_TEXT_LENGTH = 1_000_000
_NOTE_LENGTH = 2000
_SURFACES = ("control", "platform", "chat", "workbench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What saving a text came to."""

    policy: Policy
    version: Version
    new: bool
    """False: the newest version has this text already."""
    findings: Sequence[Diagnostic]
    """Errors (it cannot be activated) and warnings."""


class PolicyStore:
    """Policies, their versions and tests. Account `""` is the server."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    # --- versions ------------------------------------------------------------------------

    async def save(
        self,
        name: str,
        text: str,
        actor: Actor,
        *,
        language: Language = "sqrt",
        note: str = "",
        account_id: str = SERVER,
    ) -> Saved:
        """Keeps a text as a new draft version; the first one makes the policy.

        A text that does not compile is kept too (see `Saved.findings`) but cannot be
        activated. A text equal to the newest version's is not kept twice.

        Raises:
            InvalidPolicyError: a name, text or note that cannot be kept.
            AccountNotFoundError: no such account.
            PolicyStateError: the policy is in the other language.
        """
        if not _NAME.fullmatch(name):
            raise InvalidPolicyError(
                f"`{name[:100]}` is not a name for a policy",
                hint="letters, digits, `_`, `.` and `-`, at most 100",
                param="name",
            )
        check_text(text, "the text", length=_TEXT_LENGTH)
        check_text(note, "the note", length=_NOTE_LENGTH)
        now = self._clock.now().timestamp()
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            policy = await repository.policy(account_id, name)
            if policy is None:
                if account_id != SERVER and not await repository.has_account(account_id):
                    raise AccountNotFoundError(account_id)
                policy = Policy(
                    id=new_id("pol"),
                    account_id=account_id,
                    name=name,
                    language=language,
                    created_at=now,
                    created_by=actor.name,
                )
                await repository.add_policy(policy)
            if policy.language != language:
                raise PolicyStateError(
                    f"policy `{name}` is written in {policy.language}, not in {language}",
                    hint="save the text under another name",
                )
            newest = await repository.newest(policy.id)
            fresh = newest is None or newest.text != text
            version = newest
            if version is None or fresh:
                version = Version(
                    policy_id=policy.id,
                    n=1 if newest is None else newest.n + 1,
                    text=text,
                    author=actor.name,
                    note=note,
                    created_at=now,
                    state="draft",
                )
                await repository.add_version(version)
                await log_change(
                    self._audit,
                    connection,
                    actor,
                    "policy.save",
                    policy,
                    after={"version": version.n, "note": note, "language": language},
                )
        findings = diagnostics(source_of(policy, version))
        return Saved(policy=policy, version=version, new=fresh, findings=findings)

    async def summaries(self, *, account_id: str = SERVER) -> list[PolicySummary]:
        """Every policy of an account, by name."""
        async with self._database.read() as connection:
            return await PolicyRepository(connection).summaries(account_id)

    async def versions(
        self, name: str, *, account_id: str = SERVER
    ) -> tuple[Policy, list[Version]]:
        """A policy and its versions, newest first.

        Raises:
            PolicyNotFoundError: none of this name.
        """
        async with self._database.read() as connection:
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            return policy, await repository.versions(policy.id)

    async def version(
        self, name: str, n: int | None = None, *, account_id: str = SERVER
    ) -> tuple[Policy, Version]:
        """One version; without a number the newest.

        Raises:
            PolicyNotFoundError, VersionNotFoundError
        """
        async with self._database.read() as connection:
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            return policy, await find_version(repository, policy, n)

    async def request_policy(self, digest: str) -> PolicySource | None:
        """A policy that came with requests, by its digest; None: it is not kept."""
        async with self._database.read() as connection:
            found = await PolicyRepository(connection).request_policy(digest)
        if found is None:
            return None
        language, text = found
        return PolicySource(
            name="X-Policy", text=text, language="cedar" if language == "cedar" else "sqrt"
        )

    async def current(self) -> PolicySet:
        """Everything in effect now."""
        return (await PolicyReader(self._database).read())[0]

    # --- tests ---------------------------------------------------------------------------

    async def add_tests(
        self, name: str, files: Sequence[tuple[str, str]], actor: Actor, *, account_id: str = SERVER
    ) -> list[StoredTest]:
        """Keeps the tests of YAML files (name, text) with a policy: all of them or none.

        A test replaces the one of the same name.

        Raises:
            CaseError: a file is not in the format, or two tests have one name.
            PolicyNotFoundError, VersionNotFoundError
        """
        documents: dict[str, dict[str, object]] = {}
        for file, text in files:
            for document in split_tests(text, file):
                title = _title(document)
                if title in documents:
                    raise InvalidPolicyError(f"{file}: two tests are called `{title}`")
                documents[title] = document
        now = self._clock.now().timestamp()
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            newest = await find_version(repository, policy, None)
            tests = [
                StoredTest(
                    policy_id=policy.id,
                    name=title,
                    document=document,
                    author=actor.name,
                    created_at=now,
                )
                for title, document in documents.items()
            ]
            for test in tests:
                try_test(test.document, newest.text, policy.language)
                await repository.put_test(test)
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.tests.add",
                policy,
                after={"tests": sorted(documents)},
            )
        return tests

    async def remove_test(
        self, name: str, test: str, actor: Actor, *, account_id: str = SERVER
    ) -> None:
        """Removes one test.

        Raises:
            PolicyNotFoundError, PolicyTestNotFoundError
        """
        async with self._database.transaction() as connection:
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            if not await repository.remove_test(policy.id, test):
                raise PolicyTestNotFoundError(name, test)
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.tests.remove",
                policy,
                before={"tests": [test]},
            )

    async def run_tests(
        self, name: str, n: int | None = None, *, account_id: str = SERVER
    ) -> tuple[Version, list[StoredTest], list[CaseResult]]:
        """Runs the tests of a policy against a version, by default the newest.

        Raises:
            PolicyNotFoundError, VersionNotFoundError
        """
        async with self._database.read() as connection:
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            version = await find_version(repository, policy, n)
            tests = await repository.tests(policy.id)
        return version, tests, run_tests(tests, policy.name, version.text, policy.language)


async def find_policy(repository: PolicyRepository, account_id: str, name: str) -> Policy:
    """A policy by name.

    Raises:
        PolicyNotFoundError: none, or one of another account.
    """
    policy = await repository.policy(account_id, name)
    if policy is None:
        raise PolicyNotFoundError(name)
    return policy


async def find_version(repository: PolicyRepository, policy: Policy, n: int | None) -> Version:
    """A version by number, or the newest.

    Raises:
        VersionNotFoundError: there is none.
    """
    found = await (repository.newest(policy.id) if n is None else repository.version(policy.id, n))
    if found is None:
        raise VersionNotFoundError(policy.name, n)
    return found


async def log_change(
    audit: AuditLog,
    connection: AsyncConnection,
    actor: Actor,
    action: str,
    policy: Policy,
    *,
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
) -> None:
    """Writes an audit entry about a policy into the caller's transaction."""
    named: dict[str, object] = {"policy": policy.name}
    await audit.append(
        IdentityRepository(connection),
        actor,
        action,
        policy.id,
        account_id=policy.account_id or None,
        before=None if before is None else named | before,
        after=None if after is None else named | after,
    )


def _title(document: Mapping[str, object]) -> str:
    tests = document["tests"]
    return str(tests[0]["name"]) if isinstance(tests, list) else ""
