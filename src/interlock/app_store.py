"""Opens the store of a server: schema, identity, ledger, wired together.

The part of the composition root that the command line shares with the server. It
names every `tables` module, so that the shared metadata is complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import redis.asyncio as redis
from pydantic import SecretStr

import interlock.conversations.tables as conversation_tables
import interlock.events.tables as event_tables
import interlock.gateway.policies.tables as policy_tables
import interlock.gateway.tables as gateway_tables
import interlock.idempotency.tables as idempotency_tables
import interlock.identity.tables as identity_tables
import interlock.limits.budgets.tables as budget_tables
import interlock.limits.tables as limit_tables
from interlock.app_settings import AppSettings
from interlock.conversations.attachments import tables as attachment_tables
from interlock.conversations.replies import tables as reply_tables
from interlock.gateway.approvals import tables as approval_tables
from interlock.gateway.approvals.service import Approvals
from interlock.gateway.history import History
from interlock.gateway.pin_review import PinReview
from interlock.gateway.policies.activation import Activations
from interlock.gateway.policies.binding import Bindings
from interlock.gateway.policies.replaying import Replays
from interlock.gateway.policies.service import PolicyStore
from interlock.gateway.recorder import BatchRecorder
from interlock.gateway.repository import ToolPinRepository
from interlock.gateway.rules import FilePolicies
from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.bootstrap import Bootstrap, BootstrapResult
from interlock.identity.callers import Callers
from interlock.identity.invites import Invites
from interlock.identity.keys import KeyService
from interlock.identity.login.metrics import LoginMetrics
from interlock.identity.login.service import LoginSessions
from interlock.identity.login.shared_attempts import RedisAttempts
from interlock.identity.people import People
from interlock.kernel.clock import Clock, SystemClock
from interlock.ops.backup import Backup
from interlock.policy.model import PolicySource
from interlock.storage.blobs import Blobs, DirectoryBlobs
from interlock.storage.engine import Database
from interlock.storage.migrate import SchemaStatus, check_schema, migrate
from interlock.storage.object_blobs import ObjectBlobs
from interlock.storage.schema import metadata
from interlock.storage.secrets import SecretBox
from interlock.telemetry.metrics import GatewayMetrics

__all__ = [
    "Store",
    "backup_parts",
    "check_store",
    "invites_of",
    "migrate_store",
    "open_blobs",
    "open_database",
    "open_store",
    "redis_client",
]

_REDIS_S = 3.0
_TABLES = (
    approval_tables,
    attachment_tables,
    budget_tables,
    conversation_tables,
    event_tables,
    gateway_tables,
    idempotency_tables,
    identity_tables,
    limit_tables,
    policy_tables,
    reply_tables,
)
"""Importing them is what fills `metadata`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Everything that stands on the relational store of one server."""

    settings: AppSettings
    database: Database
    secrets: SecretBox
    audit: AuditLog
    keys: KeyService
    """Run `keys.run()` in a task group as long as requests are served."""
    admin: IdentityAdmin
    people: People
    logins: LoginSessions
    callers: Callers
    bootstrap: Bootstrap
    history: History
    pins: ToolPinRepository
    pin_review: PinReview
    policies: PolicyStore
    bindings: Bindings
    activations: Activations
    replays: Replays
    approvals: Approvals
    recorder: BatchRecorder
    """Not started; `recorder.start()` starts its thread."""
    shared: redis.Redis | None = None
    """What processes of one store count together."""

    async def first_start(self) -> BootstrapResult:
        """Makes what a server needs to be used; print what it returns, once."""
        given = self.settings.bootstrap
        return await self.bootstrap.run(
            admin_email=given.admin_email,
            admin_password=_clear(given.admin_password),
            key=_clear(given.bootstrap_key),
            make_admin=not self.settings.auth.setup,
        )

    async def close(self) -> None:
        """Stops the recorder, writing or spooling what it holds, then closes the database."""
        await self.recorder.stop()
        await self.database.close()
        if self.shared is not None:
            await self.shared.aclose()


def open_database(settings: AppSettings) -> Database:
    """The database of a server; connects to nothing yet.

    Raises:
        StoreUrlError: the URL names no supported store.
    """
    return Database(
        settings.database_url,
        pool_size=settings.store.pool_size,
        connect_timeout_s=settings.store.connect_timeout_s,
    )


def migrate_store(settings: AppSettings, *, retry: bool = False) -> tuple[str, ...]:
    """Brings the schema up to date; see `storage.migrate.migrate`. Blocks."""
    database = open_database(settings)
    return migrate(database, metadata, retry=retry, lock_s=settings.store.migration_lock_s)


def check_store(settings: AppSettings) -> SchemaStatus:
    """Where the schema stands; changes nothing. Blocks."""
    return check_schema(open_database(settings), metadata)


def backup_parts(settings: AppSettings) -> Backup:
    """What a backup is made of, or restored into; the schema must be there.

    Raises:
        SecretKeyError: the master key cannot be used.
    """
    secrets = SecretBox.load(settings.data, _clear(settings.bootstrap.secret_key))
    return Backup(
        database=open_database(settings),
        metadata=metadata,
        data=settings.data,
        revision=check_store(settings).head,
        key_id=secrets.key_id,
    )


def invites_of(store: Store, clock: Clock | None = None) -> Invites:
    """Links at which people choose a password."""
    return Invites(
        store.database,
        store.audit,
        clock or SystemClock(),
        key=store.secrets.derive("invitations"),
    )


def open_blobs(settings: AppSettings) -> Blobs:
    """Where files are kept. Raises StoreUrlError."""
    url = _clear(settings.store.blobs_url)
    if url is None:
        return DirectoryBlobs(settings.data / "blobs")
    options = {name: _clear(value) or "" for name, value in settings.store.blobs.items()}
    return ObjectBlobs(url, options)


def redis_client(settings: AppSettings) -> redis.Redis | None:
    """A client for counters all processes share; None: there is one process."""
    url = _clear(settings.store.redis_url)
    if url is None:
        return None
    return redis.Redis.from_url(url, socket_connect_timeout=_REDIS_S, socket_timeout=_REDIS_S)


def open_store(
    settings: AppSettings, *, clock: Clock | None = None, metrics: GatewayMetrics | None = None
) -> Store:
    """Builds everything on a migrated store. Inside or outside an event loop.

    `metrics` counts what happens to sessions.

    Raises:
        SecretKeyError: the master key cannot be used.
        StoreUrlError: the URL names no supported store.
    """
    clock = clock or SystemClock()
    database = open_database(settings)
    secrets = SecretBox.load(settings.data, _clear(settings.bootstrap.secret_key))
    audit = AuditLog(database, clock)
    keys = KeyService(database, secrets, settings=settings.keys, clock=clock)
    admin = IdentityAdmin(database, secrets, audit, clock, keys=keys)
    history = History(database)
    replays = Replays(database, history)

    shared = redis_client(settings)
    attempts = (
        None
        if shared is None
        else RedisAttempts(shared, prefix=f"{settings.store.redis_prefix}:attempts:")
    )

    def files() -> Sequence[PolicySource]:
        return FilePolicies(settings.gateway.policy_files).sources

    return Store(
        settings=settings,
        database=database,
        secrets=secrets,
        audit=audit,
        keys=keys,
        admin=admin,
        people=People(database, admin, audit, clock, keys=keys),
        logins=LoginSessions(
            database,
            clock,
            settings=settings.session,
            auth=settings.auth,
            attempts=attempts,
            attempts_per_minute=settings.rate_limits.auth_login_per_ip_per_min,
            metrics=None if metrics is None else LoginMetrics(metrics.register),
        ),
        callers=Callers(database),
        bootstrap=Bootstrap(database, secrets, admin, audit, keys=keys),
        history=history,
        pins=ToolPinRepository(database),
        pin_review=PinReview(database, audit, clock),
        policies=PolicyStore(database, audit, clock),
        bindings=Bindings(database, audit, clock, files=files),
        activations=Activations(database, audit, clock, replays, files=files),
        replays=replays,
        approvals=Approvals(
            database,
            audit,
            clock,
            wait_s=settings.gateway.approval_wait_s,
            own=settings.gateway.approval_self == "allow",
        ),
        recorder=BatchRecorder(
            database, spool_dir=settings.data / "spool", settings=settings.recorder
        ),
        shared=shared,
    )


def _clear(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
