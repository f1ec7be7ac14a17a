"""The policies in effect, in memory: what the running server asks for every compile.

`of` and `version` are look-ups. A loop reads which versions and bindings there are every
few seconds (texts never change, so only new ones are read); a session meets a new version
at its next request.

INVARIANT: without a set that was read and compiles there is no answer: `load` fails, and
with it the start. Later failures keep the last set.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from interlock.gateway.policies.checks import uncompilable
from interlock.gateway.policies.errors import ActivationRefusedError
from interlock.gateway.policies.model import Binding, Policy, PolicySet, State, Version
from interlock.gateway.policies.repository import PolicyRepository
from interlock.gateway.rules import BoundPolicies, FilePolicies
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import InterlockError
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable

__all__ = ["PolicyReader", "StoredPolicies"]

_log = logging.getLogger("interlock.gateway")
_READ_S = 10.0
_Mark = tuple[frozenset[tuple[str, int, State]], frozenset[Binding]]


class PolicyReader:
    """Reads the set in effect; texts are read once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[tuple[str, int], Version] = {}
        self._policies: dict[str, Policy] = {}

    async def read(self) -> tuple[PolicySet, _Mark]:
        """The set as it is now, and a value that is equal exactly when the sets are.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        async with self._database.read() as connection:
            repository = PolicyRepository(connection)
            states = await repository.states()
            bindings = await repository.bindings()
            wanted = [(policy_id, n) for policy_id, n, _ in states]
            unread = [key for key in wanted if key not in self._versions]
            if unread:
                for version in await repository.versions_by_key(unread):
                    self._versions[version.policy_id, version.n] = version
            ids = {policy_id for policy_id, _ in wanted} | {item.policy_id for item in bindings}
            unknown = sorted(ids - self._policies.keys())
            if unknown:
                found = await repository.policies(unknown)
                self._policies.update({policy.id: policy for policy in found})
        self._versions = {key: self._versions[key] for key in wanted}
        versions = [replace(self._versions[p, n], state=state) for p, n, state in states]
        policies = [self._policies[policy_id] for policy_id in sorted(ids)]
        mark = (frozenset(states), frozenset(bindings))
        return PolicySet.of(policies, versions, bindings), mark


class StoredPolicies(BoundPolicies):
    """Policies of files, then those of the store."""

    def __init__(self, database: Database, files: FilePolicies, *, refresh_s: float = 2.0) -> None:
        self._reader = PolicyReader(database)
        self._files = files
        self._refresh_s = refresh_s
        self._set: PolicySet | None = None
        self._mark: _Mark | None = None
        self._version = 0
        self._failing = False

    def version(self) -> int:
        """See `BoundPolicies.version`."""
        return self._version

    def of(self, key: KeyInfo, surface: str) -> Sequence[PolicySource]:
        """See `BoundPolicies.of`.

        Raises:
            StoreUnavailable: `load` has not succeeded yet.
        """
        if self._set is None:
            raise StoreUnavailable("the policies have not been read yet")
        stored = self._set.sources(key.account_id, key.id, surface)
        return (*self._files.sources, *stored)

    async def load(self) -> None:
        """Reads the set for the first time; a server that cannot do so must not start.

        Raises:
            StoreUnavailable: the store does not answer.
            ActivationRefusedError: an active text does not compile.
        """
        try:
            async with asyncio.timeout(_READ_S):
                await self.refresh()
        except TimeoutError:
            raise StoreUnavailable("the policies could not be read in time") from None

    async def refresh(self) -> bool:
        """Reads the set again; whether it changed.

        Raises:
            StoreUnavailable, ActivationRefusedError: the last set stays.
        """
        found, mark = await self._reader.read()
        if mark == self._mark:
            return False
        problems = await asyncio.to_thread(uncompilable, found, self._files.sources)
        if problems:
            raise ActivationRefusedError("the set of stored policies", problems)
        self._set, self._mark = found, mark
        self._version += 1
        return True

    async def run(self) -> None:
        """Follows the store until cancelled."""
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                async with asyncio.timeout(_READ_S):
                    changed = await self.refresh()
            except (InterlockError, TimeoutError) as exc:
                self._failed(exc)
            except Exception:  # the edge of the loop: the server goes on with what it knows
                _log.exception("the policies could not be read")
            else:
                self._failing = False
                if changed:
                    _log.info("the policies in effect have changed")

    def _failed(self, error: InterlockError | TimeoutError) -> None:
        if not self._failing:
            reason = getattr(error, "message", "") or "the store does not answer"
            _log.error("the policies stay as they were last read: %s", reason)
        self._failing = True
