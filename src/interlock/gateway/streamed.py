"""Streamed answers: text leaves as it comes, tool calls are held until they are decided."""

import asyncio
import time

import msgspec

from interlock.gateway.context import Sink
from interlock.gateway.ledger import estimate_tokens
from interlock.gateway.pump import Pump, fault_of
from interlock.gateway.responses import ResponseStore
from interlock.gateway.rounds import Rounds, Run, without
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.model import Reply, UpstreamError
from interlock.providers.wire.exchange import Ended, Failed, Forward, Held, Step, StreamRelay
from interlock.providers.wire.model import Fault, Usage

__all__ = ["StreamedAnswers"]

_REST_S = 1.0


class StreamedAnswers:
    """The driver of requests with `stream`."""

    def __init__(self, *, rounds: Rounds, responses: ResponseStore) -> None:
        self._rounds = rounds
        self._responses = responses

    async def run(self, run: Run, sink: Sink) -> str | None:
        """Answers with a stream; returns the code of a failure inside it."""
        while True:
            sent = time.perf_counter()
            try:
                reply = await self._rounds.send(run, stream=True)
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
                self._rounds.count_so_far(run)
            if run.closed:
                return None
            if failed is None:
                continue
            other = without(run.route, run.target)
            if sink.opened or run.rounds or run.calls:
                if not sink.opened:
                    raise _error_of(run, failed.fault)
                return self._fail(run, sink, failed.fault)
            if other is None:
                raise _error_of(run, failed.fault)
            run.route, run.relay = other, None

    async def _pump(self, run: Run, sink: Sink, reply: Reply, relay: StreamRelay) -> Failed | None:
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

    async def _step(self, run: Run, sink: Sink, relay: StreamRelay, step: Step) -> bool:
        """Performs a step that is not plain text; True when the upstream is done."""
        if isinstance(step, Held):
            our_id, outcome = await self._rounds.decide(run, step.call)
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

    async def _ended(self, run: Run, sink: Sink, relay: StreamRelay, step: Ended) -> None:
        """The upstream is done: set up the next round, or finish the client's answer."""
        usage = step.usage or Usage(
            input=estimate_tokens(len(run.body)), output=run.said, estimated=True
        )
        run.uncounted = False
        run.meter.add(usage, run.target)
        if run.denials and not run.allowed:
            await self._rounds.flush()
        if self._rounds.another_round(run):
            return
        extra, stop = self._rounds.closing(run)
        await self._rounds.settle(run)
        tail = relay.close(extra_text=extra, usage=run.usage(), stop=stop)
        final = relay.result()
        if final is not None:
            body = msgspec.json.encode(final)
            self._responses.keep(run.ctx, run.session.id, body, run.target, run.edits.tools)
        self._write(run, sink, tail)
        sink.end()
        run.closed = True

    @staticmethod
    def _write(run: Run, sink: Sink, data: bytes) -> None:
        if not data:
            return
        if not sink.opened:
            run.meter.first_byte_s = time.perf_counter() - run.meter.began
            sink.open(run.session.id)
        run.said += data.count(b"data:")
        sink.write(data)

    @staticmethod
    def _fail(run: Run, sink: Sink, fault: Fault) -> str:
        """Ends a stream that has begun, in the client's format."""
        if run.relay is not None:
            said = run.relay.fail(fault)
            sink.write(said if run.reply is None else run.reply.clean(said))
        sink.end()
        return fault.code


def _error_of(run: Run, fault: Fault) -> UpstreamError:
    """A fault that came before anything was sent, as an error with a status."""
    late = fault.code == "upstream_timeout"
    return UpstreamError(
        run.clean(fault.message),
        code=fault.code,
        kind=ErrorKind.UPSTREAM_TIMEOUT if late else ErrorKind.UPSTREAM,
        status=fault.status,
        target=run.target,
    )
