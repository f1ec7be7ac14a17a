"""Puts versions into effect and takes them back: checked, replayed, audited.

A version takes effect only when it compiles, alone and together with everything else
that binds the same callers, and its tests pass. What it would have decided otherwise
about the calls of the last day is computed before and kept with the audit entry.

Source: gateway.md section 11.13.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from interlock.gateway.history import DecisionFilter
from interlock.gateway.policies.checks import diagnostics, run_tests, uncompilable
from interlock.gateway.policies.errors import ActivationRefusedError, PolicyStateError
from interlock.gateway.policies.model import SERVER, Policy, PolicySet, State, Version, source_of
from interlock.gateway.policies.replaying import Outcome, Replays, ReplaySummary
from interlock.gateway.policies.repository import PolicyRepository
from interlock.gateway.policies.service import LOCK, find_policy, find_version, log_change
from interlock.gateway.records import DecisionRecord
from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor
from interlock.kernel.clock import Clock
from interlock.policy.case_runs import CaseResult
from interlock.policy.errors import Diagnostic
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database

__all__ = ["Activations", "Checked"]

DAY_S = 86_400.0
REPLAY_LIMIT = 100_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known about a version before it takes effect."""

    policy: Policy
    version: Version
    bound: bool
    """False: no binding yet; the replay is as if it were bound to the server."""
    findings: Sequence[Diagnostic]
    """Of the text alone, errors and warnings."""
    conflicts: Sequence[str]
    """Why it does not compile together with what binds the same callers."""
    tests: Sequence[CaseResult]
    replay: ReplaySummary | None
    """None: it does not compile."""

    @property
    def failed_tests(self) -> Sequence[CaseResult]:
        """Those that did not come out as expected."""
        return [result for result in self.tests if not result.passed]

    def compile_problems(self) -> list[str]:
        """Why it cannot be compiled; empty when it can."""
        errors = [item.render() for item in self.findings if item.severity == "error"]
        return errors or list(self.conflicts)

    def problems(self, refuse: Sequence[Outcome] = ()) -> list[str]:
        """Why it may not be enforced; `refuse` are outcomes the replay must not have."""
        found = self.compile_problems()
        for result in self.failed_tests:
            found.append(f"test `{result.name}` fails: {'; '.join(result.problems)}")
        if self.replay is not None:
            for outcome in refuse:
                if count := self.replay.counts[outcome]:
                    found.append(f"{count} calls would be {outcome.replace('_', ' ')}")
        return found


class Activations:
    """Activation, rollback and retirement of versions."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
        replays: Replays,
        *,
        files: Callable[[], Sequence[PolicySource]],
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._replays = replays
        self._files = files

    async def check(
        self,
        name: str,
        n: int | None = None,
        *,
        account_id: str = SERVER,
        progress: Progress | None = None,
    ) -> Checked:
        """Everything activation checks, changing nothing; `n` None: the newest version.

        Raises:
            PolicyNotFoundError, VersionNotFoundError
        """
        async with self._database.read() as connection:
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            version = await find_version(repository, policy, n)
            tests = await repository.tests(policy.id)
            policies = await repository.policy_set()
        candidate = policies.with_version(policy, version, "active")
        source = source_of(policy, version)
        findings = diagnostics(source)
        checked = Checked(
            policy=policy,
            version=version,
            bound=policies.is_bound(policy.id),
            findings=findings,
            conflicts=uncompilable(candidate, self._files()),
            tests=run_tests(tests, policy.name, version.text, policy.language),
            replay=None,
        )
        if checked.compile_problems():
            return checked
        summary = await self._replay(checked, candidate, progress)
        return replace(checked, replay=summary)

    async def activate(
        self,
        name: str,
        actor: Actor,
        *,
        n: int | None = None,
        shadow: bool = False,
        refuse: Sequence[Outcome] = (),
        account_id: str = SERVER,
        progress: Progress | None = None,
        checked: Callable[[Checked], None] | None = None,
    ) -> Checked:
        """Enforces a version, or with `shadow` watches it beside what is enforced.

        The version it takes the place of is retired. `checked` is told what was found
        before anything changes. A watched version must compile; its tests may fail.

        Raises:
            ActivationRefusedError: a check failed, or the replay has an outcome of `refuse`.
            PolicyStateError: it is in effect already.
            PolicyNotFoundError, VersionNotFoundError
        """
        state: State = "shadow" if shadow else "active"
        async with self._database.read() as connection:
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            _refuse_same(policy, await find_version(repository, policy, n), state)
        found = await self.check(name, n, account_id=account_id, progress=progress)
        if checked is not None:
            checked(found)
        problems = found.compile_problems() if shadow else found.problems(refuse)
        if problems:
            what = "watching" if shadow else "activating"
            raise ActivationRefusedError(f"{what} version {found.version.n} of `{name}`", problems)
        now = self._clock.now().timestamp()
        changed = {"changed_at": now, "changed_by": actor.name}
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            version = await find_version(repository, found.policy, found.version.n)
            _refuse_same(found.policy, version, state)
            old = await repository.in_state(found.policy.id, state)
            if old is not None:
                await repository.change_version(old, state="retired", **changed)
            previous = version.previous
            if not shadow:
                previous = None if old is None else old.n
            await repository.change_version(version, state=state, previous=previous, **changed)
            await self._still_compiles(repository, f"activating `{name}`")
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.watch" if shadow else "policy.activate",
                found.policy,
                before=None if old is None else {"version": old.n},
                after={
                    "version": version.n,
                    "tests": {
                        "passed": len(found.tests) - len(found.failed_tests),
                        "failed": len(found.failed_tests),
                    },
                    "replay": None if found.replay is None else found.replay.document(),
                },
            )
        return replace(found, version=replace(version, state=state, previous=previous))

    async def rollback(self, name: str, actor: Actor, *, account_id: str = SERVER) -> Version:
        """Enforces again the version that was in effect before the current one.

        Only compiling is checked: going back must be quick.

        Raises:
            PolicyStateError: nothing is in effect, or nothing was before it.
            ActivationRefusedError: the old text does not compile any more.
            PolicyNotFoundError
        """
        now = self._clock.now().timestamp()
        changed = {"changed_at": now, "changed_by": actor.name}
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            current = await repository.in_state(policy.id, "active")
            if current is None:
                raise PolicyStateError(f"no version of `{name}` is active")
            if current.previous is None:
                raise PolicyStateError(
                    f"nothing was active before version {current.n} of `{name}`",
                    hint=f"`interlock policy retire {name}` ends it",
                )
            target = await find_version(repository, policy, current.previous)
            await repository.change_version(current, state="retired", **changed)
            await repository.change_version(target, state="active", **changed)
            await self._still_compiles(repository, f"rolling `{name}` back")
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.rollback",
                policy,
                before={"version": current.n},
                after={"version": target.n},
            )
        return replace(target, state="active")

    async def retire(
        self, name: str, actor: Actor, *, shadow: bool = False, account_id: str = SERVER
    ) -> Version:
        """Ends the version in effect, or with `shadow` the watched one; nothing takes its place.

        Raises:
            PolicyStateError: there is none.
            PolicyNotFoundError
        """
        state = "shadow" if shadow else "active"
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            current = await repository.in_state(policy.id, "shadow" if shadow else "active")
            if current is None:
                raise PolicyStateError(f"no version of `{name}` is {state}")
            await repository.change_version(
                current,
                state="retired",
                changed_at=self._clock.now().timestamp(),
                changed_by=actor.name,
            )
            await self._still_compiles(repository, f"retiring `{name}`")
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.retire",
                policy,
                before={"version": current.n, "state": state},
            )
        return replace(current, state="retired")

    async def _still_compiles(self, repository: PolicyRepository, what: str) -> None:
        """Another change may have come between the check and this transaction."""
        problems = uncompilable(await repository.policy_set(), self._files())
        if problems:
            raise ActivationRefusedError(what, problems)

    async def _replay(
        self, checked: Checked, candidate: PolicySet, progress: Progress | None
    ) -> ReplaySummary:
        """The last day's calls as the version would have decided them, where it is bound."""
        policy = checked.policy
        files = tuple(self._files())
        own = source_of(policy, checked.version)

        def choose(record: DecisionRecord) -> Sequence[PolicySource] | None:
            who = (record.account_id, record.key_id, record.surface)
            if checked.bound and not candidate.binds(policy.id, *who):
                return None
            stored = [item for item in candidate.sources(*who) if item.enforcement == "enforce"]
            return [*files, *stored] if checked.bound else [*files, *stored, own]

        now = self._clock.now().timestamp()
        return await self._replays.run(
            DecisionFilter(since=now - DAY_S),
            choose,
            until=now,
            headers=True,
            limit=REPLAY_LIMIT,
            progress=progress,
        )


def _refuse_same(policy: Policy, version: Version, state: State) -> None:
    if version.state == state or (state == "shadow" and version.state == "active"):
        raise PolicyStateError(f"version {version.n} of `{policy.name}` is {version.state} already")
