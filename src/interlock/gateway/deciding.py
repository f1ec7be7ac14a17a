"""Decides tool calls and takes in tool results: guards, policy, session labels, record.

Every call passes `Decider.call`; there is no other way for one to become allowed. Any
exception on the way is a denial (architecture.md, invariant 1).

Source: gateway.md sections 4, 9, 11.7, 11.8, 11.13.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field

from interlock.gateway.approvals.model import Question, Ruling
from interlock.gateway.context import CallContext
from interlock.gateway.guarding import GuardPool
from interlock.gateway.ids import parse_call_id
from interlock.gateway.lineage import without_previews
from interlock.gateway.records import DecisionRecord, Recorder
from interlock.gateway.roles import Roles
from interlock.gateway.rules import Rules
from interlock.gateway.session import CallState, LiveSession, Origin
from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_id
from interlock.policy.denial import denial_message
from interlock.policy.guards import ArgumentVerdict, GuardHit, ResultVerdict
from interlock.policy.labels import combine_labels, initial_labels, unwrap
from interlock.policy.model import (
    DEFAULT_LABELS,
    Decision,
    Labels,
    LabelSet,
    PolicySource,
    RuleTrace,
    Verdict,
)
from interlock.policy.model import Origin as LabelOrigin
from interlock.policy.model import ToolCall as PolicyCall
from interlock.policy.provenance import TRUSTED, Passage, traced, without_evidence
from interlock.providers.wire.exchange import ResultIn
from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay.exact import JSON_ERRORS, loads

__all__ = ["MASK", "Decider", "DecisionCounter", "Outcome", "TextKeeper"]

_log = logging.getLogger("interlock.gateway")
_json = msgspec.json.Encoder().encode
_SHOWN = 1024
_SHOWN_CHARS = 64 << 10
"""Longer results are guarded anew each time: memory is bounded."""
MASK = "[masked]"
"""Stands for every text in the arguments of a key that keeps them masked."""


class DecisionCounter(Protocol):
    """Where decisions are counted."""

    def decided(self, verdict: str, reason: str) -> None:
        """One more decision."""
        ...


class TextKeeper(Protocol):
    """Keeps policies that came with requests, so that decisions can be replayed."""

    def keep(self, source: PolicySource) -> None:
        """Keeps a text; never waits."""
        ...


class ArgumentEvidence(Protocol):
    """Tells where the values of arguments come from."""

    def of(self, args: Mapping[str, Any]) -> dict[str, Labels]:
        """The evidence for each argument, as tags."""
        ...

    def passages(self) -> list[Passage]:
        """The texts of the conversation that its words may come from."""
        ...


class Asks(Protocol):
    """Where a soft denial is put to a person."""

    async def ask(self, question: Question) -> Ruling:
        """Waits for the person's answer; whatever goes wrong is no approval."""
        ...


class Outcome(Struct, kw_only=True):
    """What became of one attempted call."""

    allowed: bool
    message: str = ""
    """Why not: the sentence the model, and in the end the client, is told."""
    arguments: str | None = None
    """New arguments when a guard rewrote them."""
    decision_id: str = ""
    tags: frozenset[str] = frozenset()
    """Tags guards put on the call, for the closing notice."""
    decision: Decision | None = None
    """What the policy said; None where it was not asked, or could not answer."""
    verdict: str = ""
    """What the log calls the outcome."""
    ruling: Ruling | None = None
    """What a person said, where one was asked."""

    @property
    def hard(self) -> bool:
        """Of a denied one: nobody may lift it."""
        return self.verdict != Verdict.SOFT_DENIED.value


class Decider:
    """Applies the rules of a session to its tool traffic."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        clock: Clock,
        roles: Roles,
        counter: DecisionCounter,
        guards: GuardPool,
        texts: TextKeeper | None = None,
        approvals: Asks | None = None,
        denial_wait_s: float = 2.0,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._roles = roles
        self._counter = counter
        self._guards = guards
        self._shown: OrderedDict[tuple[str, bytes], str | None] = OrderedDict()
        self._texts = texts
        self._approvals = approvals
        self._denial_wait_s = denial_wait_s

    async def call(
        self,
        ctx: CallContext,
        rules: Rules,
        session: LiveSession,
        call: ToolCall,
        our_id: str,
        *,
        hidden: str | None = None,
        labels: Mapping[str, Labels] | None = None,
        control: Labels = DEFAULT_LABELS,
        lineage: Mapping[str, Any] | None = None,
        external: bool = True,
        evidence: Callable[[], ArgumentEvidence] | None = None,
    ) -> Outcome:
        """Decides one call; allowed ones are remembered in the session.

        `hidden` is the reason why the tool may not be called at all (pinning). Session
        updates of `session before` blocks persist whatever the verdict. `labels` are those
        of the arguments, and `lineage` where they came from, when somebody knows: a
        dual-llm program does. `evidence` is asked only when a rule asks where arguments come
        from; without it they come from nowhere. Calls that are not `external` leave no id.
        """
        began = time.perf_counter()
        seen = _Seen(
            tool=call.qualified,
            our_id=our_id,
            started=session.policy.labels,
            began=began,
            lineage=lineage or {},
        )
        known = _Known(labels=labels or {}, control=control, evidence=evidence)
        outcome = Outcome(allowed=False, decision_id=new_id("dec"))
        try:
            seen.args = _arguments(call.arguments)
            if seen.args is None:
                seen.unasked = "arguments"
                why = "the arguments are not one JSON object, each member given once"
                outcome.message = _plain_denial(seen.tool, why)
            elif not seen.tool:
                seen.unasked = "arguments"
                outcome.message = _plain_denial(seen.tool, "the call names no tool")
            elif hidden is not None:
                seen.unasked = "pinning"
                outcome.message = _plain_denial(seen.tool, hidden)
            else:
                size = len(call.arguments)
                await self._judge(ctx, rules, session, outcome, seen, known, seen.args, size)
        except Exception:
            _log.exception("deciding a call of %s failed", seen.tool)
            seen.decision = None
            outcome.message = _plain_denial(seen.tool, "the decision could not be made")
            outcome.arguments = None
        outcome.allowed = allowed = not outcome.message
        guarded = seen.guarded
        if guarded is not None:
            outcome.tags = guarded.tags
            if allowed and guarded.changed:
                outcome.arguments = _json(guarded.args).decode()
        if allowed and external:
            session.state.counter += 1
            evident = _evidence_tags(seen.decision) if rules.policy.needs_evidence else {}
            session.add_call(
                our_id,
                CallState(
                    upstream_id=call.id,
                    tool=seen.tool,
                    arguments=outcome.arguments or call.arguments,
                    evidence=evident,
                ),
            )
        outcome.decision = seen.decision
        self._write(ctx, rules, session, outcome, seen)
        return outcome

    async def _judge(  # noqa: PLR0917 - the parts of one decision
        self,
        ctx: CallContext,
        rules: Rules,
        session: LiveSession,
        outcome: Outcome,
        seen: "_Seen",
        known: "_Known",
        args: dict[str, Any],
        size: int,
    ) -> None:
        """Guards, policy, and a person where one may be asked; fills in `outcome` and `seen`."""
        guarded = seen.guarded = await self._guard_arguments(ctx, rules, seen.tool, args, size)
        asked = seen.asked = _policy_call(seen.tool, args, guarded, known, rules)
        decision = seen.decision = rules.policy.decide(asked, session.policy)
        session.policy = decision.session
        _note_origins(session, decision.origins, seen.tool, seen.our_id)
        outcome.message = _refusal(decision, guarded, asked)
        if not outcome.message or not self._may_ask(ctx, rules, decision):
            return
        ruling = await self._ask(ctx, session, outcome.decision_id, decision, asked, seen, known)
        outcome.ruling = ruling
        edited = ruling.arguments if ruling.state == "allowed" else None
        if edited is not None:
            text = _json(edited).decode()
            outcome.arguments = text
            guarded = await self._guard_arguments(ctx, rules, seen.tool, edited, len(text))
            seen.guarded = guarded
            asked = seen.asked = _policy_call(seen.tool, edited, guarded, known, rules)
            decision = seen.decision = rules.policy.decide(asked, session.policy)
            session.policy = decision.session
        outcome.message = _after(ruling, decision, guarded, asked)

    async def result(
        self, ctx: CallContext, rules: Rules, session: LiveSession, result: ResultIn
    ) -> tuple[str | None, frozenset[str]]:
        """Takes in a tool result: guards, unwrapping, `result` and `session after` rules.

        Returns the text the model shall see instead (None: unchanged) and the tags guards
        found. A result that was taken in before is guarded again (the model must not see
        what was hidden) but moves no labels.
        """
        ours = parse_call_id(result.call_id)
        state = session.state.calls.get(ours.canonical if ours is not None else result.call_id)
        tool = state.tool if state is not None else (result.tool or "")
        arguments = state.arguments if state is not None else (result.arguments or "{}")
        value: Any = result.text
        text: str | None = None
        wrapped = unwrap(_object(result.text))
        if wrapped is not None:
            value = wrapped.value
            text = value if isinstance(value, str) else _json(value).decode()
        verdict = await self._guard_result(ctx, rules, text if text is not None else result.text)
        tags: frozenset[str] = frozenset()
        if verdict is not None:
            tags = verdict.tags
            if verdict.changed:
                text = verdict.value
        if state is not None and state.answered:
            return text, tags
        policy_call = PolicyCall(tool=tool, args=_arguments(arguments) or {})
        initial = initial_labels(policy_call)
        if wrapped is not None:
            initial = without_evidence(combine_labels(initial, wrapped))
        if state is not None and state.evidence:
            # A rule may read where an argument came from; the result does not inherit it.
            policy_call = PolicyCall(
                tool=tool,
                args=policy_call.args,
                labels={name: Labels.of(tags=held) for name, held in state.evidence.items()},
            )
        if tags:
            initial = initial.merge(Labels(tags=LabelSet(tags)))
        update = rules.policy.result(
            policy_call, value, initial, session.policy, failed=result.is_error
        )
        session.policy = update.session
        _note_origins(session, update.origins, tool, result.call_id)
        if state is not None:
            # Nobody asks for them again, and the state is stored with every change.
            state.answered, state.arguments = True, ""
            state.trusted = rules.policy.needs_evidence and TRUSTED in update.labels.tags
            session.remember = True
        return text, tags

    async def labelled(
        self,
        ctx: CallContext,
        rules: Rules,
        session: LiveSession,
        call: PolicyCall,
        *,
        value: object,
        initial: Labels,
        our_id: str,
        failed: bool,
    ) -> Labels:
        """Takes in the result of a program's call: guards, `result`, `session after` rules.

        A program keeps the value as it is, because it may need it; what guards find becomes
        tags, and what leaves later is checked again. Returns the labels of the result.
        """
        if rules.guards is not None and value is not None:
            text = value if isinstance(value, str) else _json(value).decode()
            verdict = await self._guard_result(ctx, rules, text)
            if verdict is not None and verdict.tags:
                initial = initial.merge(Labels(tags=LabelSet(verdict.tags)))
        external = bool(our_id)
        initial = without_evidence(initial)
        update = rules.policy.result(
            call, value, initial, session.policy, failed=failed, non_executable=external
        )
        session.policy = update.session
        _note_origins(session, update.origins, call.tool, our_id)
        state = session.state.calls.get(our_id)
        if state is not None:
            state.answered, state.arguments = True, ""
        return update.labels

    async def shown(self, ctx: CallContext, rules: Rules, text: str) -> str | None:
        """What the model shall see instead of a result it was given before; None: the same.

        Clients resend the whole conversation, with every result as their tool gave it.
        Remembered, because the same results come with every request.
        """
        slot = (rules.config.digest, hashlib.blake2b(text.encode("utf-8", "replace")).digest())
        if slot in self._shown:
            self._shown.move_to_end(slot)
            return self._shown[slot]
        wrapped = unwrap(_object(text))
        new = text
        if wrapped is not None:
            new = wrapped.value if isinstance(wrapped.value, str) else _json(wrapped.value).decode()
        verdict = await self._guard_result(ctx, rules, new)
        if verdict is not None and verdict.changed:
            new = verdict.value
        found = None if new == text else new
        if found is None or len(found) <= _SHOWN_CHARS:
            self._shown[slot] = found
            while len(self._shown) > _SHOWN:
                self._shown.popitem(last=False)
        return found

    async def offer(
        self, ctx: CallContext, rules: Rules, session: LiveSession, tool: str, kind: str
    ) -> str | None:
        """Decides whether a tool that the provider runs itself may be offered.

        Its calls cannot be checked one by one, so the offer is decided like a call
        without arguments. Returns the reason of a denial.
        """
        began = time.perf_counter()
        asked = PolicyCall(tool=tool, args={})
        decision: Decision | None = None
        try:
            decision = rules.policy.decide(asked, session.policy)
            if decision.verdict.allowed and kind != tool:
                asked = PolicyCall(tool=kind, args={})
                decision = rules.policy.decide(asked, session.policy)
            if decision.verdict.allowed:
                return None
            message = _explained(decision, PolicyCall(tool=tool, args={}))
        except Exception:
            _log.exception("deciding the offer of %s failed", tool)
            decision = None
            message = _plain_denial(tool, "the decision could not be made")
        outcome = Outcome(allowed=False, message=message, decision_id=new_id("dec"))
        seen = _Seen(
            tool=asked.tool,
            our_id="",
            args={},
            asked=asked,
            started=session.policy.labels,
            decision=decision,
            guarded=None,
            unasked="error",
            began=began,
        )
        self._write(ctx, rules, session, outcome, seen)
        await self.settle()
        return outcome.message

    async def settle(self) -> None:
        """Waits until denials are in the store (bounded): before the answer leaves."""
        if not await self._recorder.flush(wait_s=self._denial_wait_s):
            _log.warning("a denial is queued but not stored yet: the store is slow")

    def _may_ask(self, ctx: CallContext, rules: Rules, decision: Decision) -> bool:
        """Whether a denial may be put to a person: a soft one, not in mode strict."""
        return (
            self._approvals is not None
            and ctx.key.approval == "ask"
            and decision.verdict is Verdict.SOFT_DENIED
            and rules.config.policy.mode != "strict"
        )

    async def _ask(  # noqa: PLR0917 - the parts of one question
        self,
        ctx: CallContext,
        session: LiveSession,
        decision_id: str,
        decision: Decision,
        asked: PolicyCall,
        seen: "_Seen",
        known: "_Known",
    ) -> Ruling:
        """What a person says to a soft denial; nobody is asked twice for a whole session."""
        assert self._approvals is not None  # noqa: S101 - `_may_ask` saw to it
        rule = decision.rule
        name = rule.policy if rule is not None else decision.reason
        if (asked.tool, name) in session.state.approved:
            return Ruling(approval_id="", state="allowed", scope="session")
        ruling = await self._approvals.ask(
            Question(
                decision_id=decision_id,
                account_id=ctx.key.account_id,
                key_id=ctx.key.id,
                session_id=session.id,
                surface=ctx.key.surface,
                asked_for=ctx.key.user_email,
                tool=asked.tool,
                rule=_explained(decision, asked).partition(" Rule: ")[2] or decision.reason,
                arguments=dict(asked.args),
                labels={n: _labels(held) for n, held in decision.labels.items()},
                lineage={
                    **_joined(_lineage(session, rule, asked.tool, dict(asked.args)), seen.lineage),
                    "words": await _words(asked.args, known, seen.lineage),
                },
                keep_values=ctx.key.retention == "full",
            )
        )
        if ruling.state == "allowed" and ruling.scope == "session":
            session.state.approved.append((asked.tool, name))
            session.remember = True
        return ruling

    async def _guard_arguments(
        self, ctx: CallContext, rules: Rules, tool: str, args: dict[str, Any], size: int
    ) -> ArgumentVerdict | None:
        guards = rules.guards
        if guards is None:
            return None
        verdict = await self._guards.run(size, partial(guards.check_arguments, tool, args))
        if verdict.undecided:
            scores = await self._roles.tag(ctx, verdict.undecided)
            verdict = await self._guards.run(size, partial(guards.resolve, verdict, scores))
        return verdict

    async def _guard_result(
        self, ctx: CallContext, rules: Rules, text: str
    ) -> ResultVerdict | None:
        guards = rules.guards
        if guards is None:
            return None
        verdict = await self._guards.run(len(text), partial(guards.check_result, text))
        if verdict.undecided:
            scores = await self._roles.tag(ctx, verdict.undecided)
            verdict = await self._guards.run(len(text), partial(guards.resolve, verdict, scores))
        return verdict

    def _write(
        self,
        ctx: CallContext,
        rules: Rules,
        session: LiveSession,
        outcome: Outcome,
        seen: "_Seen",
    ) -> None:
        decision, guarded = seen.decision, seen.guarded
        verdict, reason = _verdict(decision, guarded, seen.unasked)
        ruling = outcome.ruling
        if outcome.allowed and ruling is not None:
            verdict, reason = Verdict.SOFT_ALLOWED.value, "approval"
        outcome.verdict = verdict
        rule = decision.rule if decision is not None else None
        key = ctx.key
        self._counter.decided(verdict, reason)
        if rules.header is not None and self._texts is not None and key.retention == "full":
            self._texts.keep(rules.header)
        record = DecisionRecord(
            id=outcome.decision_id,
            at=self._clock.now().timestamp(),
            account_id=key.account_id,
            key_id=key.id,
            session_id=session.id,
            request_id=ctx.request_id,
            trace_id=ctx.trace_id,
            surface=key.surface,
            tool=seen.tool,
            call_id=seen.our_id or None,
            verdict=verdict,
            reason=reason,
            rule=rule.policy if rule is not None else None,
            rule_text=rule.rule if rule is not None else None,
            rule_line=rule.line if rule is not None else None,
            policy=rule.source if rule is not None else None,
            caller=dict(rules.caller),
            args=_retained(seen.args, key.retention),
            labels=_recorded_labels(seen),
            rules=_rules(decision),
            lineage=_joined(
                _lineage(session, rule, seen.tool, seen.args),
                seen.lineage if key.retention == "full" else without_previews(seen.lineage),
            ),
            shadow=[dict(item) for item in decision.shadow] if decision is not None else [],
            guards=[_hit(hit) for hit in guarded.hits] if guarded is not None else [],
            basis={
                **rules.basis,
                "values": key.retention,
                **({} if ruling is None else {"approval": ruling.approval_id}),
            },
            duration_s=time.perf_counter() - seen.began,
        )
        self._recorder.decision(record)
        if ctx.decided is not None:
            ctx.decided(record)


class _Known(Struct, frozen=True, kw_only=True):
    """What is known of a call's arguments beside their values."""

    labels: Mapping[str, Labels]
    control: Labels
    evidence: Callable[[], ArgumentEvidence] | None


class _Seen(Struct, kw_only=True):
    """What deciding a call came upon."""

    tool: str
    """The name that was decided."""
    our_id: str
    started: Labels
    """Labels of the session before the call."""
    began: float
    args: dict[str, Any] | None = None
    """As the model gave them."""
    asked: PolicyCall | None = None
    """As the policy was asked; None: it was not."""
    decision: Decision | None = None
    guarded: ArgumentVerdict | None = None
    unasked: str = "error"
    """Why there is no decision, where there is none."""
    lineage: Mapping[str, Any] = field(default_factory=dict)


def _note_origins(
    session: LiveSession, origins: Sequence[LabelOrigin], tool: str, call_id: str
) -> None:
    """Remembers which call put which label on the session; the newest 200."""
    if not origins:
        return
    session.state.origins.extend(
        Origin(
            field=name,
            label=label,
            tool=tool,
            call_id=call_id,
            declaration=declaration,
            line=line,
        )
        for name, label, declaration, line in origins
    )
    del session.state.origins[:-200]
    session.remember = True


def _verdict(
    decision: Decision | None, guarded: ArgumentVerdict | None, unasked: str
) -> tuple[str, str]:
    """What the log calls the outcome: the policy's verdict unless a guard overruled it."""
    if decision is not None and not decision.verdict.allowed:
        return decision.verdict.value, decision.reason
    if guarded is not None and guarded.denied is not None:
        return f"{guarded.denied.level}_denied", "guard"
    if decision is not None:
        return decision.verdict.value, decision.reason
    return Verdict.HARD_DENIED.value, unasked


def _arguments(text: str) -> dict[str, Any] | None:
    """The arguments as an object; None when they are none. Empty text is no arguments.

    An object that names a member twice is none: readers disagree which one counts, and
    the text goes out as it is.
    """
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
        if not isinstance(value, dict):
            return None
        if _json(value) != text.encode():
            loads(text.encode())
    except JSON_ERRORS:
        return None
    return value


def _object(text: str) -> object:
    """A result that is a JSON object as one, anything else as it is."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _policy_call(
    tool: str,
    args: Mapping[str, Any],
    guarded: ArgumentVerdict | None,
    known: _Known,
    rules: Rules,
) -> PolicyCall:
    """The call as the policy sees it: original values, with all that is known of them."""
    labels = known.labels
    if known.evidence is not None and rules.policy.needs_evidence:
        labels = _merged(labels, known.evidence().of(args))
    if guarded is not None and guarded.arg_tags:
        found = {name: Labels(tags=LabelSet(tags)) for name, tags in guarded.arg_tags.items()}
        labels = _merged(labels, found)
    return PolicyCall(tool=tool, args=args, labels=labels, control=known.control)


def _merged(labels: Mapping[str, Labels], more: Mapping[str, Labels]) -> Mapping[str, Labels]:
    """Labels of arguments from two sources."""
    if not labels:
        return more
    joined = dict(labels)
    for name, held in more.items():
        joined[name] = joined[name].merge(held) if name in joined else held
    return joined


def _refusal(decision: Decision, guarded: ArgumentVerdict | None, asked: PolicyCall) -> str:
    """Why the call is denied; empty when it is not."""
    if not decision.verdict.allowed:
        return _explained(decision, asked)
    if guarded is not None and guarded.denied is not None:
        return _plain_denial(asked.tool, guarded.denied.reason)
    return ""


def _after(
    ruling: Ruling, decision: Decision, guarded: ArgumentVerdict | None, asked: PolicyCall
) -> str:
    """As `_refusal`, once a person was asked: who can lift a soft denial, and nothing else."""
    said = _refusal(decision, guarded, asked)
    if ruling.state != "allowed":
        return f"{said} {ruling.sentence}"
    lifted = decision.verdict is not Verdict.HARD_DENIED
    if lifted and (guarded is None or guarded.denied is None):
        return ""
    return said or _plain_denial(asked.tool, "the decision could not be made")


async def _words(
    args: Mapping[str, Any], known: "_Known", lineage: Mapping[str, Any]
) -> dict[str, Any]:
    """Which words of the arguments stand where; in a thread, because results may be long.

    Results that the request does not repeat are known by their beginnings in the lineage.
    """

    def look() -> dict[str, Any]:
        passages = [] if known.evidence is None else known.evidence().passages()
        refs = {one.ref for one in passages}
        early = [
            Passage(
                kind="tool_result",
                text=str(node.get("preview") or ""),
                tool=str(node.get("tool") or node.get("ref") or ""),
                ref=str(node.get("call") or node["id"]),
            )
            for node in lineage.get("nodes", ())
            if node.get("kind") == "tool_result" and node.get("call") not in refs
        ]
        return traced(args, [*early, *passages])

    return await asyncio.to_thread(look)


def _evidence_tags(decision: Decision | None) -> dict[str, list[str]]:
    """The labels of arguments that `result` rules of this call shall see."""
    if decision is None:
        return {}
    return {
        name: sorted(held.tags.items)
        for name, held in decision.labels.items()
        if held.tags.items and not held.tags.negated
    }


def _plain_denial(tool: str, why: str) -> str:
    return f"Tool call to '{tool}' is denied by argument checking policies. Reason: {why}."


def _explained(decision: Decision, call: PolicyCall) -> str:
    """The denial sentence of 10.7, then the rule in words a person can look up."""
    text = denial_message(decision, call)
    rule = decision.rule
    if rule is not None:
        return f"{text} Rule: {rule.policy} ({rule.source}, line {rule.line}): {rule.rule}"
    if decision.reason == "allow_list":
        return f"{text} Rule: none of the allow rules of this tool holds"
    if decision.reason == "default":
        return f"{text} Rule: tools without a rule are denied by default"
    return text


def _retained(args: dict[str, Any] | None, retention: str) -> dict[str, Any] | None:
    if args is None or retention == "none":
        return None
    return args if retention == "full" else {name: _masked(value) for name, value in args.items()}


def _masked(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return MASK
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return value


def _recorded_labels(seen: _Seen) -> dict[str, Any]:
    """What the call came with, and what `session before` blocks changed about it."""
    asked, decision = seen.asked, seen.decision
    given = {} if asked is None else asked.labels
    labels: dict[str, Any] = {
        "args": {name: _labels(held) for name, held in given.items()},
        "session": _labels(seen.started),
    }
    if decision is None:
        return labels
    updated: dict[str, Any] = {}
    if decision.session.labels is not seen.started and decision.session.labels != seen.started:
        updated["session"] = _labels(decision.session.labels)
    if decision.labels is not given and decision.labels != given:
        updated["args"] = {name: _labels(held) for name, held in decision.labels.items()}
    if updated:
        labels["updated"] = updated
    return labels


def _labels(labels: Labels) -> dict[str, Any]:
    return {} if labels is DEFAULT_LABELS else labels.to_record()


def _rules(decision: Decision | None) -> list[dict[str, Any]]:
    if decision is None:
        return []
    seen: Sequence[RuleTrace] = (*decision.denied, *decision.allowed)
    return [
        {
            "policy": trace.source,
            "rule": trace.policy,
            "text": trace.rule,
            "line": trace.line,
            "level": trace.level,
            "outcome": trace.outcome,
            "state": trace.state,
            "description": trace.description,
            "error": trace.error,
        }
        for trace in seen
    ]


def _hit(hit: GuardHit) -> dict[str, Any]:
    return {
        "guard": hit.guard,
        "path": hit.path,
        "type": hit.type,
        "score": hit.score,
        "action": hit.action,
    }


def _lineage(
    session: LiveSession, rule: RuleTrace | None, tool: str, args: dict[str, Any] | None
) -> dict[str, Any]:
    """Where the labels of the session came from, and which of them the rule speaks of."""
    origins = session.state.origins
    if not origins:
        return {}
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[dict[str, Any]] = []
    path: list[str] = []
    for origin in origins:
        node = f"tool_result:{origin.call_id}"
        nodes[node] = {
            "id": node,
            "kind": "tool_result",
            "ref": origin.call_id,
            "tool": origin.tool,
        }
        edges.append(
            {
                "from": node,
                "to": "session",
                "gained": {origin.field: [origin.label]},
                "by": origin.declaration,
                "at": origin.line,
            }
        )
        if rule is not None and f'"{origin.label}"' in rule.rule and node not in path:
            path.append(node)
    nodes["session"] = {"id": "session", "kind": "variable", "ref": session.id}
    nodes["call"] = {"id": "call", "kind": "model", "ref": tool, "args": sorted(args or {})}
    edges.append({"from": "session", "to": "call", "gained": {}, "at": None})
    return {
        "nodes": list(nodes.values()),
        "edges": edges,
        "path": [*path, "session", "call"] if path else [],
    }


def _joined(session: dict[str, Any], program: Mapping[str, Any]) -> dict[str, Any]:
    """The lineage of the session's labels and, of a program's call, of its arguments."""
    if not program:
        return session
    nodes = {node["id"]: node for node in (*session.get("nodes", ()), *program.get("nodes", ()))}
    return {
        "nodes": list(nodes.values()),
        "edges": [*session.get("edges", ()), *program.get("edges", ())],
        "path": [*program.get("path", ()), *session.get("path", ())],
    }
