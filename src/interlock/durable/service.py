"""Starts, feeds and stops the durable engine (DBOS) of a process.

There is one per process, because DBOS is. On SQLite it has a file of its own that one
process at a time may use; on PostgreSQL it lives in the server's database, in the schema
`dbos`, and any number of processes share its queues.

DBOS is kept from everything that would leave the machine: no telemetry, no Conductor. Its
log goes through ours. Its values are JSON, never pickles: who can write to the database
cannot run code by that.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from dbos import DBOS, DBOSConfig
from dbos._serialization import DBOSPortableJSONSerializer  # DBOS exports it under no other name
from sqlalchemy.exc import SQLAlchemyError

from interlock.durable.errors import DurableInUseError, DurableStoppedError, DurableUnavailable
from interlock.durable.liveness import Liveness
from interlock.durable.model import Argument, Queue, Status, Workflow
from interlock.kernel.ids import new_uuid
from interlock.storage.engine import Database

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock
    fcntl = None  # type: ignore[assignment]

__all__ = ["Durable", "step"]

T = TypeVar("T")
_NAME: Final = "interlock"
_VERSION: Final = "1"
"""Work begun by one version is finished by the next: workflows change compatibly."""
_ALONE: Final = "local"
_THREADS: Final = 32
_TEXT: Final = 200
_STATUS: dict[str, Status] = {
    "ENQUEUED": "waiting",
    "DELAYED": "waiting",
    "PENDING": "running",
    "SUCCESS": "done",
    "ERROR": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
    "CANCELLED": "cancelled",
}


async def step(name: str, run: Callable[..., Awaitable[T]], *args: Any) -> T:  # noqa: ANN401
    """One step of a workflow: done once it has returned, and not done again after that.

    The result is kept (JSON, so ids and small values) and given instead of running again.
    A step cut off in the middle runs again: what must not happen twice asks first whether
    it has happened. An error it raises is kept as well, and raised again.
    """

    async def go() -> T:
        return await run(*args)

    return await DBOS.run_step_async({"name": name}, go)


class Durable:
    """The durable engine of this process."""

    def __init__(
        self,
        database: Database,
        data: Path,
        *,
        workflows: Sequence[Workflow],
        queues: Sequence[Queue],
        takeover_s: float = 5.0,
        takes_work: bool = True,
    ) -> None:
        """With `takes_work` false this process only hands work over (PostgreSQL only)."""
        self._database = database
        self._path = data / "durable.db"
        self._workflows = tuple(workflows)
        self._queues = tuple(queues)
        self._takeover_s = takeover_s
        self._takes_work = takes_work
        self._held: IO[bytes] | None = None
        self._living: asyncio.Task[None] | None = None
        self._engine: DBOS | None = None

    async def start(self) -> None:
        """Opens the store, registers everything, goes on with what was interrupted.

        Blocks the event loop for the moment DBOS needs to open its store.

        Raises:
            DurableInUseError: another process has the SQLite file.
            DurableUnavailable: the store cannot be opened.
        """
        shared = self._database.dialect == "postgresql"
        if not shared:
            self._hold()
        process = new_uuid() if shared else _ALONE
        try:
            if shared and self._takes_work:
                await self._live(process)
            self._open(process)
            for queue in self._queues:
                await DBOS.register_queue_async(
                    queue.name,
                    worker_concurrency=queue.concurrency,
                    polling_interval_sec=queue.poll_s,
                    on_conflict="always_update",
                )
        except SQLAlchemyError as error:
            await self.stop()
            raise DurableUnavailable from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self, *, wait_s: float = 0.0) -> None:
        """Stops; what runs is given `wait_s` to end and is gone on with at the next start.

        Again, or before `start`: nothing.
        """
        engine, self._engine = self._engine, None
        if engine is not None:
            for event in engine.background_thread_stop_events:
                event.set()  # takes nothing new on
            running = set(engine._workflow_tasks)
            if running and wait_s > 0:
                _, running = await asyncio.wait(running, timeout=wait_s)
            # A cancelled task records no outcome: its workflow stays to be recovered.
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            loop = asyncio.get_running_loop()
            closing = ThreadPoolExecutor(1)
            await loop.run_in_executor(closing, lambda: DBOS.destroy(destroy_registry=True))
            closing.shutdown(wait=False)
            # DBOS made its own threads the default of this loop, and has just ended them.
            loop.set_default_executor(ThreadPoolExecutor(_THREADS))
        living, self._living = self._living, None
        if living is not None:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
        if self._held is not None:
            self._held.close()
            self._held = None

    async def enqueue(self, queue: str, name: str, *args: Argument, id: str) -> None:  # noqa: A002 - the word of the contract
        """Hands work over; it is stored when this returns. The same `id` again: nothing.

        Raises:
            DurableStoppedError: not started.
            DurableUnavailable: not stored.
            ValueError: unknown workflow or queue, or an argument that is more than an id.
        """
        if self._engine is None:
            raise DurableStoppedError
        if name not in {known.name for known in self._workflows}:
            raise ValueError(f"there is no workflow `{name}`")
        if queue not in {known.name for known in self._queues}:
            raise ValueError(f"there is no queue `{queue}`")
        for argument in args:
            if isinstance(argument, str) and len(argument) > _TEXT:
                raise ValueError("workflows get ids, not texts")
            if not isinstance(argument, str | int | None):
                raise ValueError("workflows get ids")
        try:
            await DBOS.enqueue_workflow_with_options_async(
                {
                    "workflow_name": name,
                    "queue_name": queue,
                    "workflow_id": id,
                    "app_version": _VERSION,
                },
                *args,
            )
        except SQLAlchemyError as error:
            raise DurableUnavailable from error

    async def cancel(self, id: str) -> None:  # noqa: A002 - the word of the contract
        """Stops work before its next step. Unknown or ended: nothing."""
        if self._engine is None:
            raise DurableStoppedError
        try:
            await DBOS.cancel_workflow_async(id)
        except SQLAlchemyError as error:
            raise DurableUnavailable from error

    async def status(self, id: str) -> Status | None:  # noqa: A002 - the word of the contract
        """How far work is; None: unknown id."""
        if self._engine is None:
            raise DurableStoppedError
        try:
            found = await DBOS.get_workflow_status_async(id)
        except SQLAlchemyError as error:
            raise DurableUnavailable from error
        return None if found is None else _STATUS[found.status]

    def _open(self, process: str) -> None:
        config: DBOSConfig = {
            "name": _NAME,
            "system_database_url": self._url(),
            "executor_id": process,
            "application_version": _VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "enable_otlp": False,
            "log_level": "WARNING",
            "max_executor_threads": _THREADS,
        }
        engine_log = logging.getLogger("dbos")
        if not engine_log.handlers:
            engine_log.addHandler(logging.NullHandler())  # else it brings one of its own
        engine_log.propagate = True
        self._engine = DBOS(config=config)
        for workflow in self._workflows:
            DBOS.workflow(name=workflow.name)(_entry(workflow))
        if not self._takes_work:
            DBOS.listen_queues([])
        DBOS.launch()

    def _url(self) -> str:
        if self._database.dialect == "postgresql":
            return self._database.url.set(drivername="postgresql").render_as_string(
                hide_password=False
            )
        return f"sqlite:///{self._path.absolute()}"

    def _hold(self) -> None:
        """Keeps other processes off the file: they would go on with what runs here."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path.with_suffix(".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        held = os.fdopen(descriptor, "r+b")
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.close()
                raise DurableInUseError(str(self._path)) from None
        self._held = held

    async def _live(self, process: str) -> None:
        async def take_over(dead: str) -> None:
            if self._engine is not None:
                await asyncio.to_thread(DBOS._recover_pending_workflows, [dead])

        ready = asyncio.Event()
        liveness = Liveness(self._url(), process, take_over, every_s=self._takeover_s)
        self._living = asyncio.create_task(liveness.run(ready))
        try:
            async with asyncio.timeout(15):
                await ready.wait()
        except TimeoutError:
            raise DurableUnavailable from None


def _entry(workflow: Workflow) -> Callable[..., Awaitable[None]]:
    """What DBOS calls; keeps results out of its tables."""

    async def run(*args: Argument) -> None:
        await workflow.run(*args)

    run.__qualname__ = run.__name__ = workflow.name
    return run
