"""Whole answers: read, decided and finished before the client sees a byte."""

import time

from interlock.gateway.context import Sink
from interlock.gateway.ledger import estimate_tokens
from interlock.gateway.responses import ResponseStore
from interlock.gateway.rounds import Rounds, Run, without
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.model import Usage

__all__ = ["WholeAnswers"]


class WholeAnswers:
    """The driver of requests without `stream`."""

    def __init__(self, *, rounds: Rounds, responses: ResponseStore) -> None:
        self._rounds = rounds
        self._responses = responses

    async def run(self, run: Run, sink: Sink) -> None:
        """Answers on the sink. Raises InterlockError while nothing was sent."""
        meter, head = run.meter, run.ctx.head
        while True:
            sent = time.perf_counter()
            reply = await self._rounds.send(run, stream=False)
            try:
                data = await reply.read()
            finally:
                reply.close()
            meter.upstream_s += time.perf_counter() - sent
            try:
                answer = run.exchange.answer(data)
            except MalformedAnswerError as exc:
                # Nothing was sent: whoever else can answer may.
                other = None if run.rounds else without(run.route, run.target)
                if other is None:
                    exc.message = run.clean(exc.message)
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
                await self._rounds.decide(run, call)
            if run.denials and not run.allowed:
                await self._rounds.flush()
            if not self._rounds.another_round(run):
                break
        extra, stop = self._rounds.closing(run)
        await self._rounds.settle(run)
        final = answer.finish(
            run.allowed,
            denied=frozenset(run.denials),
            arguments=run.arguments,
            extra_text=extra,
            usage=run.usage(),
            stop=stop,
        )
        if head.format == "responses":
            self._responses.keep(run.ctx, run.session.id, final, run.target, run.edits.tools)
        meter.first_byte_s = time.perf_counter() - meter.began
        sink.answer(run.session.id, final)
