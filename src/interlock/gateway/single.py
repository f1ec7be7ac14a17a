"""Single-LLM execution: one model plans and acts, the gateway decides its tool traffic.

`SingleLlm.run` answers one request. Same format on both sides and nothing to change:
the body goes out as received and the answer comes back as received; only tool calls are
held until they are decided. Denied calls never reach the client: the model is told why
and asked again, at most three times.

Source: gateway.md sections 7 and 9; architecture.md section 5.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interlock.gateway.config import FsmConfig
from interlock.gateway.context import CallContext, Sink
from interlock.gateway.deciding import Decider, Outcome
from interlock.gateway.errors import (
    DualUnavailableError,
    MixedSessionsError,
    SessionArchMismatchError,
    ToolCallNotFoundError,
    ToolNotAllowedError,
)
from interlock.gateway.evidence import evidence_of
from interlock.gateway.ids import CallId, new_call_id, parse_call_id, upstream_alias
from interlock.gateway.ledger import Ledger, Meter, estimate_tokens
from interlock.gateway.pinning import ToolPins
from interlock.gateway.pump import Pump, fault_of
from interlock.gateway.responses import ResponseStore
from interlock.gateway.roles import Roles
from interlock.gateway.rules import Rules, RulesCache
from interlock.gateway.scopes import permitted
from interlock.gateway.session import Denied, LiveSession, SessionNotFoundError, Sessions
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_id
from interlock.policy.guards import notice
from interlock.policy.provenance import Evidence
from interlock.providers.model import Reply, Route, Target, UpstreamError, Upstreams
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.exchange import (
    Edits,
    Ended,
    Exchange,
    Failed,
    FormatName,
    Forward,
    Head,
    Held,
    Reinsert,
    Step,
    StreamRelay,
)
from interlock.providers.wire.model import Fault, StopReason, Text, ToolCall, Usage
from interlock.providers.wire.registry import FORMATS, exchange
from interlock.providers.wire.relay.called import called_ids, given_results

__all__ = ["MAX_DENIAL_ROUNDS", "SingleLlm"]

MAX_DENIAL_ROUNDS = 3
_NOWHERE = Target(provider="", deployment="", model="", formats=("chat",))
_CLIENT_GONE = 499
_REST_S = 1.0
_WRAPPED = b"is_sequrity_var"


@dataclass(slots=True, kw_only=True)
class _Run:
    """State of one request while it is answered."""

    ctx: CallContext
    session: LiveSession
    rules: Rules
    meter: Meter
    edits: Edits
    hidden: Mapping[str, str]
    """Tools that may not be called, with the reason (pinning)."""
    tags: set[str] = field(default_factory=set)
    route: Route | None = None
    rounds: int = 0
    calls: list[ToolCall] = field(default_factory=list)
    """Calls of the current round."""
    allowed: dict[str, str] = field(default_factory=dict)
    """Upstream id -> our id."""
    denials: dict[str, str] = field(default_factory=dict)
    """Upstream id -> sentence, of the current round."""
    arguments: dict[str, str] = field(default_factory=dict)
    built: dict[str, tuple[Exchange, bytes]] = field(default_factory=dict)
    """By deployment: what `send` may have sent."""
    again: bytes | None = None
    """Upstream body of the next round."""
    pair: Exchange | None = None
    """The pair of formats in use, once somebody answers."""
    body: bytes = b""
    """Upstream body of the current round."""
    target: Target = _NOWHERE
    relay: StreamRelay | None = None
    said: int = 0
    """Events of the current upstream answer that were passed on."""
    uncounted: bool = False
    """The current upstream answer has begun and its tokens are not in the meter."""
    reply: Reply | None = None
    """The current upstream answer; knows which keys must not be shown."""
    closed: bool = False
    """The client's answer is complete."""
    found: Evidence | None = None
    """Made when the first call needs it."""

    def evidence(self) -> Evidence:
        """Where the values of this conversation come from."""
        if self.found is None:
            self.found = evidence_of(self.ctx.head, self.edits.prepend, self.session)
        return self.found

    @property
    def exchange(self) -> Exchange:
        """The pair of formats in use. Only once something was sent."""
        assert self.pair is not None  # noqa: S101 - `_send` sets it
        return self.pair


class SingleLlm:
    """Answers requests in single-llm mode."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        rules: RulesCache,
        decider: Decider,
        upstreams: Upstreams,
        ledger: Ledger,
        pins: ToolPins,
        responses: ResponseStore,
        roles: Roles,
        clock: Clock,
        status_of: Callable[[InterlockError], int],
    ) -> None:
        self._sessions = sessions
        self._rules = rules
        self._decider = decider
        self._upstreams = upstreams
        self._ledger = ledger
        self._pins = pins
        self._responses = responses
        self._roles = roles
        self._clock = clock
        self._status_of = status_of

    async def run(self, ctx: CallContext, sink: Sink) -> None:
        """Answers one request on `sink`.

        Raises InterlockError while nothing was sent; later failures end the stream in
        the client's format. Cancelled when the client goes away: the upstream call is
        closed at once and what was used so far is recorded.
        """
        meter = Meter(began=time.perf_counter())
        session_id: str | None = None
        status, error = 200, None
        try:
            if ctx.config.arch != "single-llm":
                raise DualUnavailableError('`"agent_arch": "dual-llm"`')
            if ctx.head.dual_only:
                raise DualUnavailableError(f"`{ctx.head.dual_only[0]}`")
            rules = self._rules.of(ctx.config, ctx.key)
            session = await self._session(ctx)
            session_id = session.id
            error = await self._answer(ctx, sink, session, rules, meter)
        except asyncio.CancelledError:
            status, error = _CLIENT_GONE, "client_gone"
            raise
        except InterlockError as exc:
            status, error = self._status_of(exc), exc.error_code
            raise
        except Exception:
            status, error = 500, "internal_error"
            raise
        finally:
            self._ledger.close(ctx, meter, session_id=session_id, status=status, error=error)

    # finding the session

    async def _session(self, ctx: CallContext) -> LiveSession:
        """The session of the request, a new one if nothing names one (gateway.md, 7.2)."""
        head = ctx.head
        named = [call for item in head.results if (call := parse_call_id(item.call_id))]
        by_call: LiveSession | None = None
        if named:
            by_call = await self._of_calls(ctx, named)
        if ctx.session_header:
            session = await self._sessions.get(ctx.session_header, ctx.key, ctx.config.endpoint)
            if by_call is not None and by_call is not session:
                raise ToolCallNotFoundError(named[0].canonical)
            return session
        if by_call is not None:
            return by_call
        link = head.previous_response_id or head.conversation
        if head.format == "responses" and link:
            found = await self._responses.session_of(ctx, link)
            if found is not None:
                return await self._sessions.get(found, ctx.key, ctx.config.endpoint)
        if ctx.client_session and ctx.config.endpoint == "code":
            hint = ctx.client_session
            return await self._sessions.of_client(hint, ctx.key, ctx.config.endpoint)
        earlier = await self._of_history(ctx)
        if earlier is not None:
            return earlier
        now = self._clock.now().timestamp()
        return self._sessions.create(ctx.key, ctx.config.endpoint, now)

    async def _of_history(self, ctx: CallContext) -> LiveSession | None:
        """The session of the newest call of ours in the history, if it still goes on.

        A client that names no session but resends a conversation with our calls in it
        keeps the labels of that conversation.
        """
        head = ctx.head
        if not head.has_history:
            return None
        for call_id in called_ids(head.format, head.body):
            ours = parse_call_id(call_id)
            if ours is None:
                continue
            try:
                return await self._sessions.of_call(ours, ctx.key, ctx.config.endpoint)
            except SessionNotFoundError:
                return None
        return None

    async def _of_calls(self, ctx: CallContext, named: Sequence[CallId]) -> LiveSession:
        if len({call.suffix for call in named}) > 1:
            raise MixedSessionsError
        session = await self._sessions.of_call(named[0], ctx.key, ctx.config.endpoint)
        for call in named:
            if call.canonical not in session.state.calls:
                raise ToolCallNotFoundError(call.canonical)
        return session

    # preparing the request

    async def _answer(
        self, ctx: CallContext, sink: Sink, session: LiveSession, rules: Rules, meter: Meter
    ) -> str | None:
        """Prepares, sends, decides, stores. Returns the code of an in-stream failure."""
        async with self._sessions.locked(session):
            run = await self._prepare(ctx, session, rules, meter)
        if ctx.head.stream:
            return await self._stream(run, sink)
        await self._whole(run, sink)
        return None

    async def _prepare(
        self, ctx: CallContext, session: LiveSession, rules: Rules, meter: Meter
    ) -> _Run:
        head, config = ctx.head, ctx.config
        if session.state.arch != config.arch:
            raise SessionArchMismatchError(session.state.arch, config.arch)
        self._count_turn(session, config.fsm, head)
        tags: set[str] = set()
        results: dict[str, str] = {}
        for item in head.results:
            text, found = await self._decider.result(ctx, rules, session, item)
            tags |= found
            if text is not None:
                results[item.call_id] = text
        hidden: Mapping[str, str] = {}
        if head.tools:
            hidden = await self._pins.check(ctx.key, head.tools)
            await self._offers(ctx, session, rules)
        edits = await self._edits(ctx, session, rules, results)
        return _Run(
            ctx=ctx,
            session=session,
            rules=rules,
            meter=meter,
            edits=edits,
            hidden=hidden,
            tags=tags,
        )

    def _count_turn(self, session: LiveSession, fsm: FsmConfig, head: Head) -> None:
        """A user message starts a turn; limits and resets per turn apply here."""
        if not head.new_user_message:
            return
        state = session.state
        if fsm.clear_session_meta != "never" and state.turns:
            session.clear_labels()
        if fsm.max_n_turns is not None:
            if state.turns >= fsm.max_n_turns:
                raise SessionNotFoundError(session.id)
            session.remember = True
        state.turns += 1

    async def _offers(self, ctx: CallContext, session: LiveSession, rules: Rules) -> None:
        """Tools the provider runs itself are decided when they are offered."""
        for tool in ctx.head.tools:
            if not tool.hosted:
                continue
            reason = await self._decider.offer(ctx, rules, session, tool.name, tool.kind)
            if reason is not None:
                raise ToolNotAllowedError(tool.name, reason)

    async def _edits(
        self, ctx: CallContext, session: LiveSession, rules: Rules, results: dict[str, str]
    ) -> Edits:
        head = ctx.head
        reinsert: list[Reinsert] = []
        mapping: Callable[[str], str] | None = None
        prepend, tools = await self._responses.history(ctx)
        if head.has_history or prepend:
            await self._earlier(ctx, rules, prepend, results)
            calls = session.state.calls

            def upstream_id(call_id: str) -> str:
                ours = parse_call_id(call_id)
                if ours is None:
                    return call_id
                known = calls.get(ours.canonical)
                return known.upstream_id if known is not None else upstream_alias(ours.canonical)

            mapping = upstream_id
            for item in session.state.denied:
                call = ToolCall(
                    id=item.upstream_id,
                    name=item.name,
                    namespace=item.namespace,
                    arguments=item.arguments,
                )
                after = upstream_id(item.after)
                reinsert.append(Reinsert(after_call_id=after, call=call, denial=item.message))
        return Edits(
            upstream_id=mapping,
            results=results,
            reinsert=reinsert,
            prepend=prepend,
            tools=tools,
            drop_tools=await self._filtered(ctx),
            overrides=ctx.config.llm.get("pllm", {}),
            ask_usage=head.stream and not head.wants_usage,
            native_client=ctx.native_client,
        )

    async def _earlier(
        self, ctx: CallContext, rules: Rules, prepend: Sequence[Any], results: dict[str, str]
    ) -> None:
        """Adds the results of earlier turns, which the client resends as its tools gave them."""
        head = ctx.head
        if rules.guards is None and _WRAPPED not in head.body and not prepend:
            return
        taken_in = {item.call_id for item in head.results}
        for call_id, text in given_results(head.format, head.body, prepend):
            if call_id not in taken_in and call_id not in results:
                shown = await self._decider.shown(ctx, rules, text)
                if shown is not None:
                    results[call_id] = shown

    async def _filtered(self, ctx: CallContext) -> frozenset[str]:
        """Tools the TLLM step leaves out (`min_num_tools_for_filtering`)."""
        least = ctx.config.fsm.min_num_tools_for_filtering
        if least is None or len(ctx.head.tools) < least or not ctx.head.new_user_message:
            return frozenset()
        functions = [tool for tool in ctx.head.tools if tool.kind == "function"]
        if len(functions) < least:
            return frozenset()
        query = _last_user_text(ctx.head)
        about = [(tool.name, tool.description) for tool in functions]
        kept = await self._roles.filter_tools(ctx, query, about)
        if kept is None:
            return frozenset()
        return frozenset(tool.name for tool in functions if tool.name not in kept)

    # sending

    def _builder(self, run: _Run) -> Callable[[Target, FormatName], bytes]:
        head, edits = run.ctx.head, run.edits

        def build(target: Target, name: FormatName) -> bytes:
            if run.again is not None:
                run.built[target.deployment] = (run.exchange, run.again)
                run.target, run.body = target, run.again
                return run.again
            pair = exchange(head.format, name, now=time.time, new_id=new_id)
            named = edits
            if target.model != head.model:
                named = msgspec.structs.replace(edits, model=target.model)
            body = pair.request(head, named)
            if pair.client != pair.upstream:
                run.meter.dropped = tuple(pair.dropped())
            run.built[target.deployment] = (pair, body)
            run.target, run.body = target, body
            return body

        return build

    async def _send(self, run: _Run, *, stream: bool) -> Reply:
        """Sends the current round; afterwards `run` knows who answers and in which format."""
        ctx = run.ctx
        if run.route is None:
            model = ctx.head.model.split(",", 1)[0].strip()
            route = self._upstreams.resolve(ctx.provider, model, byok=ctx.byok)
            run.route = permitted(route, ctx.key)
        run.uncounted = False
        try:
            reply = await self._upstreams.send(
                run.route,
                self._builder(run),
                want=ctx.head.format,
                stream=stream,
                headers=ctx.forward,
            )
        except asyncio.CancelledError:
            # The provider works on it, and bills what it has read.
            run.uncounted = run.target is not _NOWHERE
            self._count_so_far(run)
            raise
        run.uncounted, run.said, run.reply = stream, 0, reply
        run.meter.attempts += reply.attempts
        run.meter.target = run.target = reply.target
        run.pair, run.body = run.built[reply.target.deployment]
        return reply

    @staticmethod
    def _count_so_far(run: _Run) -> None:
        """Counts an answer that will never be complete: what was sent, and what came back."""
        if run.uncounted:
            run.uncounted = False
            size = estimate_tokens(len(run.body))
            run.meter.add(Usage(input=size, output=run.said, estimated=True), run.target)

    async def _decide(self, run: _Run, call: ToolCall) -> tuple[str, Outcome]:
        session = run.session
        async with self._sessions.locked(session):
            our_id = new_call_id(session.id, run.ctx.key.call_ids, session.state.counter)
            outcome = await self._decider.call(
                run.ctx,
                run.rules,
                session,
                call,
                our_id,
                hidden=run.hidden.get(call.qualified),
                evidence=run.evidence,
            )
        run.calls.append(call)
        run.tags |= outcome.tags
        if outcome.allowed:
            run.allowed[call.id] = our_id
            if outcome.arguments is not None:
                run.arguments[call.id] = outcome.arguments
        else:
            run.denials[call.id] = outcome.message
        return our_id, outcome

    def _another_round(self, run: _Run) -> bool:
        """Whether the model is asked again; if so everything is set up for it."""
        if not run.denials or run.allowed or run.rounds >= MAX_DENIAL_ROUNDS:
            return False
        run.rounds += 1
        run.again = run.exchange.again(run.body, run.calls, run.denials)
        if run.route is not None:
            run.route = Route(
                provider=run.route.provider,
                model=run.route.model,
                groups=((run.target,),),
                byok=run.route.byok,
            )
        run.calls, run.denials = [], {}
        return True

    def _closing(self, run: _Run) -> tuple[str | None, StopReason | None]:
        """What is said before the end, and the reason to stop when it is not the model's."""
        said = notice(run.tags) if run.tags else None
        if run.denials and not run.allowed:
            return "\n".join(run.denials.values()), StopReason.END
        if run.allowed:
            return None, None
        return said, None

    async def _settle(self, run: _Run) -> None:
        """Everything that must be written before the answer is complete."""
        async with self._sessions.locked(run.session):
            state = run.session.state
            if run.denials and run.allowed:
                after = next(reversed(run.allowed.values()))
                state.denied.extend(
                    Denied(
                        after=after,
                        upstream_id=call.id,
                        name=call.name,
                        namespace=call.namespace,
                        arguments=call.arguments,
                        message=run.denials[call.id],
                    )
                    for call in run.calls
                    if call.id in run.denials
                )
                del state.denied[:-50]
                run.session.remember = True
            fsm = run.ctx.config.fsm
            if fsm.max_n_turns is not None and state.turns >= fsm.max_n_turns and not run.allowed:
                state.closed = True
        if run.denials:
            await self._decider.settle()

    # whole answers

    async def _whole(self, run: _Run, sink: Sink) -> None:
        meter, head = run.meter, run.ctx.head
        while True:
            sent = time.perf_counter()
            reply = await self._send(run, stream=False)
            try:
                data = await reply.read()
            finally:
                reply.close()
            meter.upstream_s += time.perf_counter() - sent
            try:
                answer = run.exchange.answer(data)
            except MalformedAnswerError as exc:
                # Nothing was sent: whoever else can answer may.
                other = None if run.rounds else _without(run.route, run.target)
                if other is None:
                    exc.message = _clean(run, exc.message)
                    exc.args = (exc.message,)
                    raise
                run.route = other
                continue
            usage = answer.usage or Usage(
                input=estimate_tokens(len(run.body)),
                output=estimate_tokens(len(data)),
                estimated=True,
            )
            meter.add(usage, run.target)
            for call in answer.calls:
                await self._decide(run, call)
            if run.denials and not run.allowed:
                await self._decider.settle()
            if not self._another_round(run):
                break
        extra, stop = self._closing(run)
        await self._settle(run)
        final = answer.finish(
            run.allowed,
            denied=frozenset(run.denials),
            arguments=run.arguments,
            extra_text=extra,
            usage=meter.total() if run.rounds else None,
            stop=stop,
        )
        if head.format == "responses":
            self._responses.keep(run.ctx, run.session.id, final, run.target)
        meter.first_byte_s = time.perf_counter() - meter.began
        sink.answer(run.session.id, final)

    # streamed answers

    async def _stream(self, run: _Run, sink: Sink) -> str | None:
        """Answers with a stream; returns the code of a failure inside it."""
        while True:
            sent = time.perf_counter()
            try:
                reply = await self._send(run, stream=True)
            except InterlockError as exc:
                if run.relay is None or not sink.opened:
                    raise
                return self._fail(run, sink, fault_of(exc))
            if run.relay is None:
                run.relay = run.exchange.stream(
                    run.ctx.head,
                    hide_usage=run.edits.ask_usage,
                    native_client=run.ctx.native_client,
                    session_id=run.session.id,
                )
            else:
                run.relay.next_round()
            try:
                failed = await self._pump(run, sink, reply, run.relay)
            finally:
                reply.close()
                run.meter.upstream_s += time.perf_counter() - sent
                self._count_so_far(run)
            if run.closed:
                return None
            if failed is None:
                continue
            other = _without(run.route, run.target)
            if sink.opened or run.rounds or run.calls:
                if not sink.opened:
                    raise _error_of(run, failed.fault)
                return self._fail(run, sink, failed.fault)
            if other is None:
                raise _error_of(run, failed.fault)
            run.route, run.relay = other, None

    async def _pump(self, run: _Run, sink: Sink, reply: Reply, relay: StreamRelay) -> Failed | None:
        """Moves one upstream answer to the client; returns how it failed, if it did.

        Otherwise `run.closed` says whether the client's answer is complete or the model
        must be asked again.
        """
        pump = Pump(reply, relay, sink, lambda data: self._write(run, sink, data))
        pump.start()
        while (step := await pump.step()) is not None:
            if isinstance(step, Failed):
                return step
            if await self._step(run, sink, relay, step):
                pump.finish()
                try:
                    await pump.rest(_REST_S)
                except asyncio.CancelledError:
                    # The client has its whole answer and may go.
                    if not run.closed:
                        raise
                return None
        return Failed(Fault(code="upstream_truncated", message="the upstream closed the stream"))

    async def _step(self, run: _Run, sink: Sink, relay: StreamRelay, step: Step) -> bool:
        """Performs a step that is not plain text; True when the upstream is done."""
        if isinstance(step, Held):
            our_id, outcome = await self._decide(run, step.call)
            if outcome.allowed:
                self._write(run, sink, step.release(our_id, outcome.arguments))
            else:
                relay.drop(step.call)
            return False
        if isinstance(step, Ended):
            await self._ended(run, sink, relay, step)
            return True
        if isinstance(step, Forward):
            self._write(run, sink, step.data)
        return False

    async def _ended(self, run: _Run, sink: Sink, relay: StreamRelay, step: Ended) -> None:
        """The upstream is done: set up the next round, or finish the client's answer."""
        usage = step.usage or Usage(
            input=estimate_tokens(len(run.body)), output=run.said, estimated=True
        )
        run.uncounted = False
        run.meter.add(usage, run.target)
        if run.denials and not run.allowed:
            await self._decider.settle()
        if self._another_round(run):
            return
        extra, stop = self._closing(run)
        await self._settle(run)
        tail = relay.close(
            extra_text=extra, usage=run.meter.total() if run.rounds else None, stop=stop
        )
        final = relay.result()
        if final is not None:
            self._responses.keep(run.ctx, run.session.id, msgspec.json.encode(final), run.target)
        self._write(run, sink, tail)
        sink.end()
        run.closed = True

    @staticmethod
    def _write(run: _Run, sink: Sink, data: bytes) -> None:
        if not data:
            return
        if not sink.opened:
            run.meter.first_byte_s = time.perf_counter() - run.meter.began
            sink.open(run.session.id)
        run.said += data.count(b"data:")
        sink.write(data)

    @staticmethod
    def _fail(run: _Run, sink: Sink, fault: Fault) -> str:
        """Ends a stream that has begun, in the client's format."""
        if run.relay is not None:
            said = run.relay.fail(fault)
            sink.write(said if run.reply is None else run.reply.clean(said))
        sink.end()
        return fault.code


def _last_user_text(head: Head) -> str:
    """What the user last said, as text."""
    request = FORMATS[head.format].decode_request(msgspec.json.decode(head.body))
    for message in reversed(request.messages):
        if message.role == "user":
            return "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return ""


def _without(route: Route | None, target: Target) -> Route | None:
    """The route without a target that failed; None when nothing is left."""
    if route is None:
        return None
    groups = tuple(
        rest
        for group in route.groups
        if (rest := tuple(item for item in group if item.deployment != target.deployment))
    )
    if not groups:
        return None
    return Route(provider=route.provider, model=route.model, groups=groups, byok=route.byok)


def _clean(run: _Run, said: str) -> str:
    """What the upstream said, without the keys it was sent."""
    return said if run.reply is None else run.reply.clean(said.encode()).decode("utf-8", "replace")


def _error_of(run: _Run, fault: Fault) -> UpstreamError:
    """A fault that came before anything was sent, as an error with a status."""
    late = fault.code == "upstream_timeout"
    return UpstreamError(
        _clean(run, fault.message),
        code=fault.code,
        kind=ErrorKind.UPSTREAM_TIMEOUT if late else ErrorKind.UPSTREAM,
        status=fault.status,
        target=run.target,
    )
