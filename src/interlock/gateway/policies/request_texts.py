"""Keeps the policies that came with requests, once each, so that replays can have them.

`keep` only notes a text; a loop writes what was noted. What a crash loses, or a flood of
different texts pushes out, a replay counts as unknown.
"""

import asyncio
import logging
from collections import OrderedDict

from interlock.gateway.policies.repository import PolicyRepository
from interlock.gateway.rules import digest_of_source
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database

__all__ = ["RequestTexts"]

_log = logging.getLogger("interlock.gateway")
_PENDING = 500
_KNOWN = 10_000
_REWRITE_S = 3600.0
_EVERY_S = 1.0


class RequestTexts:
    """The `TextKeeper` of the decider."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._pending: dict[str, PolicySource] = {}
        self._written: OrderedDict[str, float] = OrderedDict()
        """Digest -> when, by the monotonic clock."""
        self._digests: OrderedDict[int, tuple[PolicySource, str]] = OrderedDict()

    def keep(self, source: PolicySource) -> None:
        """See `TextKeeper.keep`."""
        digest = self._digest(source)
        written = self._written.get(digest)
        if written is not None and self._clock.monotonic() - written < _REWRITE_S:
            return
        if digest in self._pending or len(self._pending) < _PENDING:
            self._pending[digest] = source

    async def flush(self) -> None:
        """Writes what was noted.

        Raises:
            StoreUnavailable: it stays noted.
        """
        taken, self._pending = self._pending, {}
        if not taken:
            return
        try:
            async with self._database.transaction() as connection:
                await self._database.exclusive(connection, "request policies")
                await PolicyRepository(connection).put_request_policies(
                    taken, at=self._clock.now().timestamp()
                )
        except BaseException:
            self._pending = {**taken, **self._pending}
            raise
        for digest in taken:
            self._written[digest] = self._clock.monotonic()
            self._written.move_to_end(digest)
        while len(self._written) > _KNOWN:
            self._written.popitem(last=False)

    async def purge(self, *, before: float) -> int:
        """Removes texts that no request has used since."""
        async with self._database.transaction() as connection:
            return await PolicyRepository(connection).purge_request_policies(before=before)

    async def run(self) -> None:
        """Writes now and then until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                await self._try()
        finally:
            await self._try()

    async def _try(self) -> None:
        try:
            await self.flush()
        except InterlockError as exc:
            _log.warning("policies of requests were not kept yet: %s", exc.message)
        except Exception:  # the edge of the loop
            _log.exception("policies of requests could not be kept")
            self._pending.clear()

    def _digest(self, source: PolicySource) -> str:
        """Kept per object: a cached config has the same one in every request."""
        found = self._digests.get(id(source))
        if found is None or found[0] is not source:
            found = (source, digest_of_source(source))
            self._digests[id(source)] = found
            while len(self._digests) > _KNOWN:
                self._digests.popitem(last=False)
        return found[1]
