"""The rounds of one request: asking the model, deciding its calls, asking it again.

What both drivers, `whole` and `streamed`, share. Denied calls never reach the client:
the model is told why and asked again, at most three times.

Source: gateway.md section 9.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from interlock.gateway.context import CallContext
from interlock.gateway.deciding import Decider, Outcome
from interlock.gateway.evidence import evidence_of
from interlock.gateway.ids import new_call_id
from interlock.gateway.ledger import Meter, added, estimate_tokens
from interlock.gateway.rules import Rules
from interlock.gateway.scopes import permitted
from interlock.gateway.session import Denied, LiveSession, Sessions
from interlock.kernel.ids import new_id
from interlock.policy.guards import notice
from interlock.policy.provenance import Evidence
from interlock.providers.model import Reply, Route, Target, Upstreams
from interlock.providers.wire.exchange import Edits, Exchange, FormatName, StreamRelay
from interlock.providers.wire.model import StopReason, ToolCall, Usage
from interlock.providers.wire.registry import exchange

__all__ = ["MAX_DENIAL_ROUNDS", "Rounds", "Run", "without"]

MAX_DENIAL_ROUNDS = 3
_NOWHERE = Target(provider="", deployment="", model="", formats=("chat",))


@dataclass(slots=True, kw_only=True)
class Run:
    """State of one request while it is answered."""

    ctx: CallContext
    session: LiveSession
    rules: Rules
    meter: Meter
    edits: Edits
    hidden: Mapping[str, str]
    """Tools that may not be called, with the reason (pinning)."""
    tags: set[str] = field(default_factory=set)
    turn: str = ""
    """Digest of this request, if it began a turn that is counted."""
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

    def usage(self) -> Usage | None:
        """All tokens of this request (section 17); None when the upstream's own figures are it."""
        spent = self.ctx.spent
        if spent is None:
            return self.meter.total() if self.rounds else None
        return added(self.meter.total(), spent)

    def evidence(self) -> Evidence:
        """Where the values of this conversation come from."""
        if self.found is None:
            self.found = evidence_of(self.ctx.head, self.edits.prepend, self.session)
        return self.found

    @property
    def exchange(self) -> Exchange:
        """The pair of formats in use. Only once something was sent."""
        assert self.pair is not None  # noqa: S101 - `Rounds.send` sets it
        return self.pair

    def clean(self, said: str) -> str:
        """What the upstream said, without the keys it was sent."""
        if self.reply is None:
            return said
        return self.reply.clean(said.encode()).decode("utf-8", "replace")


class Rounds:
    """Asks upstreams on behalf of a run and decides what they call."""

    def __init__(self, *, sessions: Sessions, decider: Decider, upstreams: Upstreams) -> None:
        self._sessions = sessions
        self._decider = decider
        self._upstreams = upstreams

    def _builder(self, run: Run) -> Callable[[Target, FormatName], bytes]:
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

    async def send(self, run: Run, *, stream: bool) -> Reply:
        """Sends the current round; afterwards `run` knows who answers and in which format."""
        ctx = run.ctx
        if run.route is None:
            model, *unused = [name.strip() for name in ctx.model.split(",")]
            route = self._upstreams.resolve(ctx.provider, model, byok=ctx.byok)
            for name in unused:
                # Both halves of a pair must be allowed (gateway.md, section 2).
                self._upstreams.resolve(ctx.provider, name, byok=ctx.byok)
            run.route = permitted(route, ctx.key) if ctx.key.scopes else route
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
            self.count_so_far(run)
            raise
        run.uncounted, run.said, run.reply = stream, 0, reply
        run.meter.attempts += reply.attempts
        run.meter.target = run.target = reply.target
        run.pair, run.body = run.built[reply.target.deployment]
        return reply

    @staticmethod
    def count_so_far(run: Run) -> None:
        """Counts an answer that will never be complete: what was sent, and what came back."""
        if run.uncounted:
            run.uncounted = False
            size = estimate_tokens(len(run.body))
            run.meter.add(Usage(input=size, output=run.said, estimated=True), run.target)

    async def decide(self, run: Run, call: ToolCall) -> tuple[str, Outcome]:
        """Decides one call: our id for it, and what became of it."""
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

    def another_round(self, run: Run) -> bool:
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

    def closing(self, run: Run) -> tuple[str | None, StopReason | None]:
        """What is said before the end, and the reason to stop when it is not the model's."""
        said = notice(run.tags) if run.tags else None
        if run.denials and not run.allowed:
            return "\n".join(run.denials.values()), StopReason.END
        if run.allowed:
            return None, None
        return said, None

    async def settle(self, run: Run) -> None:
        """Everything that must be written before the answer is complete."""
        fsm = run.ctx.config.fsm
        if not run.denials and not run.turn and (fsm.max_n_turns is None or run.allowed):
            # Nothing to write: what was decided was stored when it was decided.
            return
        async with self._sessions.locked(run.session):
            state = run.session.state
            if run.turn and state.unfinished == run.turn:
                state.unfinished = ""
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
            if fsm.max_n_turns is not None and state.turns >= fsm.max_n_turns and not run.allowed:
                state.closed = True
        if run.denials:
            await self._decider.settle()

    async def flush(self) -> None:
        """Waits until denials are on disk."""
        await self._decider.settle()


def without(route: Route | None, target: Target) -> Route | None:
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
