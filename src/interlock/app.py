"""The composition root: builds every object, wires them, starts and stops the server.

The only module besides `app_settings` that knows all packages. Order of start: schema,
identity, recorder, upstreams, routes, then the port opens; a store whose schema is not
right stops the start. Order of stop: the port closes, running answers get time to
finish, the recorder writes what is left.
"""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from interlock import __version__
from interlock.app_budgets import BudgetParts, build_budgets
from interlock.app_console import services_of
from interlock.app_key_limits import KeyLimitParts, build_key_limits
from interlock.app_limits import LimitParts, build_limits
from interlock.app_people import Front, PeopleParts, build_people
from interlock.app_settings import AppSettings
from interlock.app_signin import CookieSignIn
from interlock.app_store import Store, migrate_store, open_store
from interlock.console import Console
from interlock.gateway.annotations.service import Annotations
from interlock.gateway.budgeting import BudgetCounter, Budgeted, held
from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext
from interlock.gateway.counters import LimitCounter, MetricsCounter
from interlock.gateway.deciding import Decider
from interlock.gateway.door import Door
from interlock.gateway.dual.service import DualLlm
from interlock.gateway.execution import Execution
from interlock.gateway.generation import PolicyGeneration
from interlock.gateway.guarding import GuardPool
from interlock.gateway.ids import SessionIds
from interlock.gateway.ledger import Ledger
from interlock.gateway.parts import Parts
from interlock.gateway.pinning import StoredPins
from interlock.gateway.policies.bound import StoredPolicies
from interlock.gateway.policies.request_texts import RequestTexts
from interlock.gateway.responses import ResponseStore
from interlock.gateway.roles import Roles
from interlock.gateway.rules import FilePolicies, RulesCache
from interlock.gateway.session import Sessions
from interlock.gateway.sidecalls import SideCalls
from interlock.gateway.single import SingleLlm
from interlock.gateway.toolbox import Toolbox
from interlock.gateway.traffic import TrafficCounter
from interlock.identity.bootstrap import BootstrapResult
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock, SystemClock
from interlock.kernel.errors import InterlockError
from interlock.limits.desk import note_keys
from interlock.ops.errors import WorkerAloneError
from interlock.ops.holding import held as hold
from interlock.policy.compiled import compile_policy
from interlock.policy.errors import PolicyError
from interlock.policy.model import Caller, PolicySource, Presets
from interlock.providers.build import build_upstreams
from interlock.providers.catalog import BUILT_IN
from interlock.providers.demo import DemoUpstream
from interlock.providers.model import Suffix
from interlock.providers.router import Router as Upstreams
from interlock.storage.errors import StoreUnavailable
from interlock.surfaces.control.annotate import AnnotationRoutes
from interlock.surfaces.control.headers import ConfigCache
from interlock.surfaces.control.hot import ControlHot, DefaultProvider, status_of
from interlock.surfaces.control.routes import ControlRoutes
from interlock.surfaces.control.routing import Router
from interlock.telemetry.metrics import CONTENT_TYPE, GatewayMetrics
from interlock.telemetry.tracing import NoTracer, Tracer, configure_tracing, genai
from interlock.tools.running import ToolRunner
from interlock.web.credentials import CookieWriter
from interlock.web.hot import HttpLimits, hot_protocol, sweep
from interlock.web.listening import open_sockets

__all__ = [
    "Application",
    "GatewayServer",
    "Store",
    "build",
    "make_server",
    "open_store",
    "serve",
    "tick",
]

_log = logging.getLogger("interlock.app")
_TICK_S = 5.0
_PURGE_S = 600.0
_MEASURE_S = 15.0
_HEALTH_S = 3.0
_REPLIES_S = 1.0
"""How long replies may go on when the server stops; they are gone on with at the next start."""
_GC_YOUNG = 5000
_HEADER_BYTES = 128 << 10


@dataclass(slots=True, kw_only=True)
class Application:
    """A server, built and not yet started."""

    store: Store
    clock: Clock
    upstreams: Upstreams
    metrics: GatewayMetrics
    tracer: Tracer
    hot: ControlHot
    asgi: FastAPI
    policies: StoredPolicies
    request_texts: RequestTexts
    guards: GuardPool
    annotations: Annotations
    dual: DualLlm
    door: Door
    toolbox: Toolbox
    tools: ToolRunner
    limits: LimitParts
    people: PeopleParts
    key_limits: KeyLimitParts
    money: BudgetParts
    front: Front
    """What the port serves besides the hot routes."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BootstrapResult]:
        """Migrates, bootstraps, starts the background work; stops it all at the end.

        Raises:
            SchemaError: the store's schema is not one this version may start on.
            StoreUnavailable: the store cannot be reached.
            ActivationRefusedError: an active policy does not compile.
        """
        await asyncio.to_thread(migrate_store, self.store.settings)
        made = await self.store.first_start()
        self.store.recorder.start()
        try:
            await self.policies.load()
            await self.limits.first_start()
            await self.money.budgets.load()
            await self.people.start()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.store.keys.run()),
                    group.create_task(self.money.budgets.run()),
                    group.create_task(self.policies.run()),
                    group.create_task(self.request_texts.run()),
                    group.create_task(self.limits.routes.run()),
                    group.create_task(self._measuring()),
                    group.create_task(self.people.run()),
                    group.create_task(self._housekeeping()),
                ]
                yield made
                await self.people.stop(wait_s=_REPLIES_S)
                for task in tasks:
                    task.cancel()
        finally:
            await self.people.stop(wait_s=0)
            self.upstreams.close()
            self.guards.close()
            self.dual.close()
            self.tools.close()
            await self.key_limits.close()
            await self.money.close()
            await self.limits.close()
            await self.store.close()
            self.tracer.close()

    async def health(self) -> Mapping[str, str]:
        """One entry per thing a load balancer should know about."""
        return await _health(self.store)

    async def _measuring(self) -> None:
        """Counts what is told as it is now, and not as it changes."""
        while True:
            try:
                await self.store.logins.measure()
            except InterlockError as exc:
                _log.warning("sessions were not counted: %s", exc.message)
            await asyncio.sleep(_MEASURE_S)

    async def _housekeeping(self) -> None:
        """Removes what was kept long enough, a little at a time."""
        kept = self.store.settings.gateway
        while True:
            await asyncio.sleep(_PURGE_S)
            try:
                await self.store.history.purge(
                    now=self.clock.now().timestamp(),
                    decision_days=kept.decision_days,
                    usage_days=kept.usage_days,
                    value_days=kept.value_days,
                )
                oldest = self.clock.now().timestamp() - kept.decision_days * 86_400.0
                await self.request_texts.purge(before=oldest)
                await self.annotations.purge(before=oldest)
                await self.store.approvals.purge(before=oldest)
                await self.store.logins.purge()
            except InterlockError as exc:
                _log.warning("old records were not removed: %s", exc.message)


async def _health(store: Store) -> Mapping[str, str]:
    try:
        async with asyncio.timeout(_HEALTH_S), store.database.read() as connection:
            await connection.exec_driver_sql("SELECT 1")
    except (StoreUnavailable, TimeoutError):
        return {"store": "unreachable"}
    return {"store": "ok"}


class _SpanTracer:
    """Makes one span per request for the hot path."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, ctx: CallContext, traceparent: str | None) -> Callable[[str | None], None]:
        """Starts the span; the returned function ends it."""
        span = self._tracer.span(
            f"{ctx.endpoint} {ctx.head.model}",
            parent=traceparent,
            attributes=genai(operation="chat", provider=ctx.provider or "", model=ctx.head.model),
        )
        ctx.trace_id = span.trace_id

        def finish(error: str | None) -> None:
            if error is not None:
                span.fail(error)
            span.end()

        return finish


def build(settings: AppSettings, *, clock: Clock | None = None) -> Application:
    """Builds a server from settings; nothing is opened or started yet."""
    clock = clock or SystemClock()
    metrics = GatewayMetrics()
    store = open_store(settings, clock=clock, metrics=metrics)
    database, recorder = store.database, store.recorder
    traffic = TrafficCounter(metrics)
    upstreams = build_upstreams(
        settings.upstreams, clock=clock, demo=DemoUpstream(), observer=traffic
    )
    key_limits = build_key_limits(settings, clock)
    limits = key_limits.limits
    money = build_budgets(store, metrics, clock, refused=partial(note_keys, key_limits.sightings))
    ledger = Ledger(
        recorder=recorder,
        clock=clock,
        counters=(MetricsCounter(metrics), LimitCounter(limits), BudgetCounter(money.budgets)),
    )
    roles = Roles(upstreams=upstreams, ledger=ledger)
    lifetime_s = settings.gateway.session_lifetime_s
    responses = ResponseStore(
        recorder=recorder, clock=clock, lifetime_s=settings.gateway.response_lifetime_s
    )
    policies = StoredPolicies(
        database,
        FilePolicies(settings.gateway.policy_files),
        refresh_s=settings.gateway.policy_refresh_s,
    )
    request_texts = RequestTexts(database, clock)
    guards = GuardPool(threads=settings.gateway.guard_threads, wait_s=settings.gateway.guard_wait_s)
    sessions = Sessions(
        ids=SessionIds(store.secrets.derive("session ids")),
        recorder=recorder,
        clock=clock,
        lifetime_s=lifetime_s,
        store_wait_s=settings.gateway.denial_flush_s,
        busy_wait_s=settings.gateway.session_wait_s,
        shared=settings.gateway.shared_sessions,
    )
    annotations = Annotations(database, clock, sessions)
    parts = Parts(
        sessions=sessions,
        rules=RulesCache(policies),
        decider=Decider(
            recorder=recorder,
            clock=clock,
            roles=roles,
            counter=traffic,
            guards=guards,
            texts=request_texts,
            approvals=store.approvals,
            denial_wait_s=settings.gateway.denial_flush_s,
        ),
        upstreams=upstreams,
        ledger=ledger,
        pins=StoredPins(store.pins, clock),
        responses=responses,
        roles=roles,
        clock=clock,
        status_of=status_of,
    )
    dual = DualLlm(parts, turn_s=settings.gateway.turn_s, turn_bytes=settings.gateway.turn_bytes)
    router = Router((*BUILT_IN, *settings.upstreams.providers))
    tracer = configure_tracing(settings.telemetry)
    default_provider = _defaults(upstreams)
    configs = ConfigCache()
    execution = Budgeted(Execution(SingleLlm(parts), dual), money.budgets, upstreams)

    def config_of(key: KeyInfo) -> SessionConfig:
        return configs.get(key.id, key.config_version, "chat", b"", b"", b"", key.base_config)

    hot = ControlHot(
        router=router,
        keys=store.keys,
        configs=configs,
        executor=execution,
        limits=limits,
        tracer=None if isinstance(tracer, NoTracer) else _SpanTracer(tracer),
        default_provider=default_provider,
        allowed_origins=frozenset(settings.server.allowed_origins),
        refused=traffic.refused,
    )
    door = Door(
        executor=execution,
        sessions=sessions,
        rules=parts.rules,
        decider=parts.decider,
        limits=limits,
        config_of=config_of,
        default_provider=lambda: default_provider("chat", False),
    )
    tools = ToolRunner()
    asgi = FastAPI(title="Interlock", version=__version__, openapi_url=None)
    toolbox = Toolbox(door, tools)
    request_limits = build_limits(
        store, metrics, clock, keys=limits, sightings=key_limits.sightings
    )
    people = build_people(
        settings,
        store,
        clock,
        health=lambda: _health(store),
        door=door,
        toolbox=toolbox,
        limits=request_limits,
        money=money,
        models=lambda: upstreams.models(default_provider("chat", False)),
    )
    application = Application(
        store=store,
        clock=clock,
        upstreams=upstreams,
        metrics=metrics,
        tracer=tracer,
        hot=hot,
        asgi=asgi,
        policies=policies,
        request_texts=request_texts,
        guards=guards,
        annotations=annotations,
        dual=dual,
        door=door,
        toolbox=toolbox,
        tools=tools,
        limits=request_limits,
        people=people,
        key_limits=key_limits,
        money=money,
        front=Front(asgi, people.chat),
    )
    control = ControlRoutes(
        router=router,
        keys=store.keys,
        upstreams=upstreams,
        responses=responses,
        side=SideCalls(upstreams=upstreams, ledger=ledger, status_of=status_of),
        generation=PolicyGeneration(roles),
        configs=configs,
        annotations=AnnotationRoutes(annotations),
        health=application.health,
        compile_policy=_compile_problems,
        default_provider=default_provider,
        started_at=int(clock.now().timestamp()),
        limits=limits,
        within=lambda ctx: held(money.budgets, upstreams, ctx),
    )
    _mount(application, control)
    _mount_console(application)
    _expose(application)
    return application


def _mount(application: Application, control: ControlRoutes) -> None:
    """The routes of the ASGI app."""
    asgi = application.asgi
    origins = application.store.settings.server.allowed_origins
    if origins:
        asgi.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Session-ID", "X-Request-ID"],
        )

    async def metrics(request: Request) -> Response:
        del request
        return Response(application.metrics.render(), media_type=CONTENT_TYPE)

    async def health(request: Request) -> Response:
        return await control(
            Request({**request.scope, "path": "/control/health", "raw_path": b"/control/health"})
        )

    async def root(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/console", status_code=303)
        return JSONResponse(
            {
                "service": "interlock",
                "version": __version__,
                "description": "decides every model call and tool call of a team",
                "console": "/console",
                "openapi": "/api/openapi.json",
                "health": "/health",
            }
        )

    asgi.add_route("/", root, methods=["GET"], include_in_schema=False)
    if application.store.settings.server.metrics:
        asgi.add_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    asgi.add_route("/health", health, methods=["GET"], include_in_schema=False)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    asgi.add_route("/control", control.__call__, methods=methods)
    asgi.add_route("/control/{rest:path}", control.__call__, methods=methods)


def _mount_console(application: Application) -> None:
    """The web console."""
    store = application.store
    signing = CookieSignIn(application.people.credentials, store.people, store.admin)
    console = CookieWriter(Console(services_of(application, signing)))
    # Without a list of methods a route takes all of them; the console says which it has.
    for path in ("/console", "/console/{rest:path}"):
        application.asgi.router.routes.append(Route(path, console))


def _expose(application: Application) -> None:
    """Numbers that other objects keep."""
    metrics, recorder = application.metrics, application.store.recorder
    metrics.read("interlock_pending_records", "Records not yet stored.", lambda: recorder.pending)
    metrics.read(
        "interlock_dropped_records",
        "Records lost for good.",
        lambda: recorder.stats.dropped,
        total=True,
    )
    metrics.read(
        "interlock_open_streams", "Streams being sent.", lambda: len(application.hot.streams)
    )


_SUFFIXES: Mapping[str, Suffix] = {
    "chat": "chat/completions",
    "messages": "messages",
    "responses": "responses",
    "generate": "generate",
}


def _defaults(upstreams: Upstreams) -> DefaultProvider:
    """Default provider of a suffix; a caller's own key never goes to a stand-in."""

    def default(suffix: str, byok: bool) -> str:
        return upstreams.default_provider(_SUFFIXES[suffix], byok=byok)

    return default


def _compile_problems(code: str, language: str) -> list[str]:
    source = PolicySource(
        name="X-Policy", text=code, language="cedar" if language == "cedar" else "sqrt"
    )
    try:
        compile_policy([source], presets=Presets(), caller=Caller())
    except PolicyError as exc:
        return [exc.message]
    return []


def application_alone(settings: AppSettings) -> bool:
    """Whether no other server may work on the same store: SQLite has one writer."""
    return settings.database_url.startswith("sqlite")


async def serve(settings: AppSettings, *, ready: Callable[[str, BootstrapResult], None]) -> None:
    """Serves until a signal stops it; `ready` gets the base URL when the port is open.

    Raises:
        ListenError: the port is taken; nothing was made then.
        DataInUseError: another server has the data directory.
    """
    with ExitStack() as held:
        listening = open_sockets(settings.server.host, settings.server.port)
        for one in listening:
            held.enter_context(one)
        if application_alone(settings):
            held.enter_context(hold(settings.data))
        application = build(settings)
        async with application.running() as made:
            server = make_server(application)
            server.on_ready = lambda: ready(server.base_url, made)
            _settle_collector()
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(tick(application, server))
                await server.serve(sockets=list(listening))
                ticking.cancel()


async def work(settings: AppSettings, *, ready: Callable[[BootstrapResult], None]) -> None:
    """Makes agents' replies and other durable work until a signal stops it; opens no port.

    Raises:
        WorkerAloneError: the store is SQLite, which one process has for itself.
    """
    if application_alone(settings):
        raise WorkerAloneError
    server = settings.server.model_copy(update={"durable_work": True})
    application = build(settings.model_copy(update={"server": server}))
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stopped.set)
    async with application.running() as made:
        ready(made)
        _settle_collector()
        await stopped.wait()


def _settle_collector() -> None:
    """Keeps what lives as long as the process out of every later garbage collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG, 20, 20)


class GatewayServer(uvicorn.Server):
    """The server of uvicorn, which tells when its port is open and when it is to close."""

    on_ready: Callable[[], None] | None = None
    on_stopping: Callable[[], None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops serving; a second interrupt does not wait for running answers.

        Unlike uvicorn's own it does not raise the signal again afterwards: that would end
        the process before what was recorded is written.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the port."""
        await super().startup(sockets=sockets)
        if self.started and self.on_ready is not None:
            self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the port; live streams end first, since they would never end by themselves."""
        if self.on_stopping is not None:
            self.on_stopping()
        await super().shutdown(sockets=sockets)

    @property
    def base_url(self) -> str:
        """Where the server really listens, after `startup`."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(application: Application) -> GatewayServer:
    """The HTTP server around the hot protocol; the caller runs it."""
    settings = application.store.settings
    limits = HttpLimits(
        header_bytes=min(_HEADER_BYTES, settings.server.max_header_bytes),
        headers_bytes=settings.server.max_header_bytes,
        body_bytes=settings.server.max_body_bytes,
    )
    config: dict[str, Any] = {
        "app": application.front,
        "host": settings.server.host,
        "port": settings.server.port,
        "http": hot_protocol(application.hot, limits),
        "ws": "none",
        "lifespan": "off",
        "access_log": False,
        "log_config": None,
        # Who may say what address a client has is decided in `web.credentials`.
        "proxy_headers": False,
        "server_header": False,
        "backlog": 4096,
        "timeout_keep_alive": int(settings.server.idle_s),
        "limit_concurrency": settings.server.max_connections,
        "timeout_graceful_shutdown": int(settings.server.shutdown_s),
    }
    server = GatewayServer(uvicorn.Config(**config))
    server.on_stopping = application.people.streams.close
    return server


async def tick(application: Application, server: uvicorn.Server) -> None:
    """Keeps silent streams alive and refuses requests that never arrive."""
    loop = asyncio.get_running_loop()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(_TICK_S)
            now = loop.time()
            application.hot.keep_alive(now)
            sweep(server.server_state.connections, now)
