"""Gateway keys on the hot path: a cache in front of the store that never lies.

`cached` is a dictionary lookup. A key is read from the store once, then again in
the background every `ttl_s`; while the store is slow or away the cached answer
holds for `max_stale_s`. Revoking a key in this process takes effect at once, in
other processes within `ttl_s`.

INVARIANT: "the store does not answer" is never told as "this key is invalid".
Only the store's own word, not older than `negative_ttl_s`, makes a key invalid.

All lookups go through one loop (`run`): whatever was asked for meanwhile becomes
one query, so a thousand requests with one new key cost one, and a flood of made-up
keys cannot occupy the connection pool.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog
from pydantic import BaseModel, ConfigDict, Field

from interlock.identity.errors import Unauthenticated
from interlock.identity.model import KeyInfo
from interlock.identity.repository import IdentityRepository, KeyRow
from interlock.identity.tokens import digest
from interlock.kernel.clock import Clock, SystemClock
from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable
from interlock.storage.secrets import SecretBox

__all__ = ["KeyCacheSettings", "KeyService", "credential_place"]

_log = structlog.get_logger(__name__)
_MAX_TOKEN_BYTES = 4096
_RETRY_S = 1.0


class KeyCacheSettings(BaseModel):
    """How long answers about keys are believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_s: float = Field(default=30.0, gt=0)
    """Age at which a cached key is read again, in the background."""
    max_stale_s: float = Field(default=3600.0, gt=0)
    """How long a cached key is honoured while the store does not answer."""
    negative_ttl_s: float = Field(default=5.0, ge=0)
    """How long "no such key" is believed."""
    capacity: int = Field(default=10_000, ge=1)
    negative_capacity: int = Field(default=10_000, ge=1)
    wait_s: float = Field(default=2.0, gt=0)
    """How long a request waits for the store before it is told to try again."""
    query_s: float = Field(default=5.0, gt=0)
    max_waiting: int = Field(default=2000, ge=1)
    """Different unknown keys waiting at one time; more are told to try again."""
    batch: int = Field(default=200, ge=1, le=1000)
    used_every_s: float = Field(default=60.0, gt=0)
    """How often `last_used_at` is written."""


class _Entry:
    """A cached key; instants are seconds of the monotonic clock."""

    __slots__ = ("info", "read_at", "refresh_at", "used")

    def __init__(self, info: KeyInfo, read_at: float, refresh_at: float) -> None:
        self.info = info
        self.read_at = read_at
        self.refresh_at = refresh_at
        """When the next use asks for a refresh."""
        self.used = True
        """Used since `last_used_at` was written."""


class KeyService:
    """Answers "whose key is this" for every request of the process."""

    def __init__(
        self,
        database: Database,
        secrets: SecretBox,
        *,
        settings: KeyCacheSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._settings = settings or KeyCacheSettings()
        clock = clock or SystemClock()
        self._now = clock.monotonic
        self._wall: Callable[[], float] = (
            time.time if isinstance(clock, SystemClock) else lambda: clock.now().timestamp()
        )
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        """Hash -> until when the store's "no" is believed."""
        self._waiting: dict[bytes, asyncio.Future[KeyInfo | None]] = {}
        self._refresh: dict[bytes, None] = {}
        self._in_flight: set[bytes] = set()
        self._changed: set[bytes] = set()
        """Of those in flight: their answer may be old."""
        self._used: dict[str, float] = {}
        """Key id -> last use, of entries that were pushed out."""
        self._work = asyncio.Event()
        self._ttl = self._settings.ttl_s
        self._max_stale = max(self._settings.max_stale_s, self._ttl)

    def cached(self, token: bytes | str) -> KeyInfo | None:
        """The key if it is known here and good; None says nothing: use `lookup`. Never waits."""
        key = digest(token)
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._now()
        if now > entry.refresh_at:
            if now - entry.read_at > self._max_stale:
                return None
            entry.refresh_at = now + self._ttl
            self._refresh[key] = None
            self._work.set()
        info = entry.info
        if not entry.used:
            entry.used = True
            self._entries.move_to_end(key)
        if info.expires_at is not None and info.expires_at <= self._wall():
            return None
        return info

    async def lookup(self, token: bytes | str | None) -> KeyInfo:
        """The key, asking the store when it is not known here.

        Raises:
            Unauthenticated: none was sent (`missing_api_key`); the store does not know it,
                or it is revoked or expired (`invalid_api_key`).
            StoreUnavailable: the store did not answer in time; says nothing about the key.
        """
        if not token:
            raise Unauthenticated.missing()
        if len(token) > _MAX_TOKEN_BYTES:
            raise Unauthenticated.invalid()
        info = self.cached(token)
        if info is not None:
            return info
        key = digest(token)
        until = self._unknown.get(key)
        if until is not None and until > self._now():
            raise Unauthenticated.invalid()
        info = await self._ask(key)
        if info is None or (info.expires_at is not None and info.expires_at <= self._wall()):
            raise Unauthenticated.invalid()
        return info

    def forget(self, token_hash: bytes) -> None:
        """Drops what is known about a key: call when it was created, changed or revoked."""
        entry = self._entries.pop(token_hash, None)
        if entry is not None and entry.used:
            self._used[entry.info.id] = self._wall()
        self._unknown.pop(token_hash, None)
        self._refresh.pop(token_hash, None)
        if token_hash in self._in_flight:
            self._changed.add(token_hash)

    async def run(self) -> None:
        """Serves lookups and refreshes until cancelled; then writes the last uses.

        Without it running, `lookup` of a key that is not cached raises StoreUnavailable.
        """
        written_at = self._now()
        try:
            while True:
                timeout = max(0.0, written_at + self._settings.used_every_s - self._now())
                try:
                    async with asyncio.timeout(timeout):
                        await self._work.wait()
                except TimeoutError:
                    written_at = self._now()
                    await self.write_last_used()
                    continue
                self._work.clear()
                await self._serve()
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(StoreUnavailable("the server is stopping"))
            self._waiting.clear()

    async def write_last_used(self) -> None:
        """Writes the last use of every key used since the last call; keeps them on failure."""
        now = self._wall()
        used, self._used = self._used, {}
        for entry in self._entries.values():
            if entry.used:
                entry.used = False
                used[entry.info.id] = now
        if not used:
            return
        try:
            async with asyncio.timeout(self._settings.query_s):
                async with self._database.transaction() as connection:
                    await IdentityRepository(connection).touch_keys(used)
        except (StoreUnavailable, TimeoutError):
            self._used = used | self._used

    async def _ask(self, key: bytes) -> KeyInfo | None:
        future = self._waiting.get(key)
        if future is None:
            if len(self._waiting) >= self._settings.max_waiting:
                raise StoreUnavailable
            future = asyncio.get_running_loop().create_future()
            # Everybody may have gone before the answer comes; that is no error.
            future.add_done_callback(_retrieve)
            self._waiting[key] = future
            self._work.set()
        try:
            async with asyncio.timeout(self._settings.wait_s):
                return await asyncio.shield(future)
        except TimeoutError:
            raise StoreUnavailable from None

    async def _serve(self) -> None:
        """One round: everything asked for until now, in as few queries as possible."""
        while self._waiting or self._refresh:
            size = self._settings.batch
            wanted = list(self._waiting)[:size]
            stale = [key for key in self._refresh if key not in self._waiting]
            wanted += stale[: max(0, size - len(wanted))]
            self._in_flight.update(wanted)
            try:
                rows = await self._load(wanted)
            except StoreUnavailable as error:
                self._failed(wanted, error)
                return
            except Exception:
                # Whatever it was, it was not the caller's key.
                _log.exception("keys could not be read")
                self._failed(wanted, StoreUnavailable())
                return
            finally:
                self._in_flight.clear()
            read_at = self._now()
            for key in wanted:
                self._learn(key, rows.get(key), read_at)

    async def _load(self, wanted: Sequence[bytes]) -> dict[bytes, KeyRow]:
        try:
            async with asyncio.timeout(self._settings.query_s), self._database.read() as connection:
                rows = await IdentityRepository(connection).key_rows(wanted)
        except TimeoutError as error:
            raise StoreUnavailable from error
        return {row.token_hash: row for row in rows}

    def _learn(self, key: bytes, row: KeyRow | None, read_at: float) -> None:
        self._refresh.pop(key, None)
        if key in self._changed:
            # Who waits for it stays in line and gets the next answer.
            self._changed.discard(key)
            return
        future = self._waiting.pop(key, None)
        try:
            info = self._info(row)
        except StoreUnavailable as error:
            if future is not None and not future.done():
                future.set_exception(error)
            return
        if info is None:
            self._drop(key)
            self._unknown[key] = read_at + self._settings.negative_ttl_s
            if len(self._unknown) > self._settings.negative_capacity:
                self._unknown.popitem(last=False)
        else:
            self._keep(key, info, read_at)
        if future is not None and not future.done():
            future.set_result(info)

    def _keep(self, key: bytes, info: KeyInfo, read_at: float) -> None:
        former = self._entries.get(key)
        entry = _Entry(info, read_at, read_at + self._ttl)
        if former is not None:
            entry.used = former.used
        self._entries[key] = entry
        self._unknown.pop(key, None)
        if former is None and len(self._entries) > self._settings.capacity:
            _, gone = self._entries.popitem(last=False)
            if gone.used:
                self._used[gone.info.id] = self._wall()

    def _drop(self, key: bytes) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None and gone.used:
            self._used[gone.info.id] = self._wall()

    def _failed(self, wanted: Sequence[bytes], error: StoreUnavailable) -> None:
        self._changed.clear()
        for key in wanted:
            future = self._waiting.pop(key, None)
            if future is not None and not future.done():
                future.set_exception(error)
            self._refresh.pop(key, None)
            entry = self._entries.get(key)
            if entry is not None:
                entry.refresh_at = self._now() + _RETRY_S

    def _info(self, row: KeyRow | None) -> KeyInfo | None:
        """The key as the hot path sees it; None when it is not good any more.

        Raises:
            StoreUnavailable: its credentials cannot be decrypted; a configuration fault.
        """
        if row is None or row.revoked_at is not None or row.user_disabled:
            return None
        if row.expires_at is not None and row.expires_at <= self._wall():
            return None
        try:
            credentials = {
                provider: self._secrets.open(
                    sealed, place=credential_place(row.sealed_for or row.id, provider)
                )
                for provider, sealed in row.provider_credentials.items()
            }
        except Exception as error:
            _log.exception("the credentials of a key cannot be decrypted", key_id=row.id)
            raise StoreUnavailable("a stored credential cannot be decrypted") from error
        return KeyInfo(
            id=row.id,
            account_id=row.account_id,
            user_id=row.user_id,
            user_email=row.user_email,
            label=row.label,
            groups=row.groups,
            roles=row.roles | ({"server_admin"} if row.global_role == "admin" else set()),
            scopes=frozenset(row.scopes),
            base_config=row.base_config,
            provider_credentials=credentials,
            limits=row.limits,
            tool_pinning=row.tool_pinning,  # type: ignore[arg-type] # checked when it was stored
            call_ids=row.call_ids,  # type: ignore[arg-type] # checked when it was stored
            retention=row.retention,  # type: ignore[arg-type] # checked when it was stored
            policy_override=row.policy_override,
            approval=row.approval,  # type: ignore[arg-type] # checked when it was stored
            expires_at=row.expires_at,
        )


def credential_place(key_id: str, provider: str) -> str:
    """What a sealed provider credential is bound to; `key_id` as when it was sealed."""
    return f"gateway_keys/{key_id}/{provider}"


def _retrieve(future: "asyncio.Future[KeyInfo | None]") -> None:
    if not future.cancelled():
        future.exception()
