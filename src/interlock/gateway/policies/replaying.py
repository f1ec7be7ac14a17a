"""Re-decides recorded calls under other policies and counts what would come out otherwise.

Each call is decided on the labels it came with, for the caller it came from, under the
presets and the mode of its request. What cannot be known (values or the request's own
policy not kept, records of an older version) is counted as unknown, never guessed.

Source: gateway.md section 11.13.
"""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import msgspec

from interlock.gateway.deciding import MASK
from interlock.gateway.history import DecisionFilter, History
from interlock.gateway.policies.repository import PolicyRepository
from interlock.gateway.records import DecisionRecord
from interlock.policy.compiled import CompiledPolicy, compile_layers
from interlock.policy.errors import PolicyError
from interlock.policy.model import Caller, PolicySource, Presets, Verdict
from interlock.policy.replay import Outcome, replay
from interlock.storage.engine import Database

__all__ = ["OUTCOMES", "Choose", "Outcome", "ReplaySummary", "ReplayedCall", "Replays", "caller_of"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_COMPILED = 256
_KEPT_CALLS = 100_000

Choose = Callable[[DecisionRecord], Sequence[PolicySource] | None]
"""The bound texts a call is decided under; None: the call is not concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedCall:
    """One recorded call and what would come out now."""

    decision: str
    at: float
    tool: str
    session: str | None
    key: str
    outcome: Outcome
    before: str
    before_rule: str | None
    after: str | None
    """None when unknown."""
    after_rule: str | None = None
    after_text: str | None = None
    after_source: str | None = None
    why: str | None = None
    """Why it is unknown."""


@dataclass(slots=True, kw_only=True)
class ReplaySummary:
    """Counts of one replay, and the calls that come out otherwise."""

    total: int = 0
    """Calls that were looked at and are concerned."""
    skipped: int = 0
    """Recorded calls the change does not concern."""
    left_out: int = 0
    """Older calls beyond the limit."""
    counts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    unknown: Counter[str] = field(default_factory=Counter)
    """Reasons."""
    changed: list[ReplayedCall] = field(default_factory=list)
    """Newly denied, newly allowed and decided by another rule; the first 100,000."""

    def add(self, call: ReplayedCall) -> None:
        """Counts a call."""
        self.total += 1
        self.counts[call.outcome] += 1
        if call.outcome == "unknown":
            self.unknown[call.why or "unknown"] += 1
        elif call.outcome != "same" and len(self.changed) < _KEPT_CALLS:
            self.changed.append(call)

    def document(self) -> dict[str, Any]:
        """The counts, for audit entries and programs."""
        counts: dict[str, Any] = {str(name): count for name, count in self.counts.items()}
        return {
            "calls": self.total,
            **counts,
            "unknown_because": dict(self.unknown),
            "not_concerned": self.skipped,
            "left_out": self.left_out,
        }


class Replays:
    """Replays over the decision log of one store."""

    def __init__(self, database: Database, history: History) -> None:
        self._database = database
        self._history = history

    async def run(
        self,
        wanted: DecisionFilter,
        choose: Choose,
        *,
        until: float,
        headers: bool = False,
        limit: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ReplaySummary:
        """Re-decides what the filter finds before `until`, oldest first, and counts.

        `headers` puts each request's own policy on top, as it was. With `limit` only the
        newest that many calls are looked at. `progress` is told (done, of).
        """
        programs = _Programs(self._text if headers else None)

        async def decide(record: DecisionRecord) -> ReplayedCall | None:
            sources = choose(record)
            return None if sources is None else await _decided(record, sources, programs)

        return await self._each(wanted, decide, until=until, limit=limit, progress=progress)

    async def watched(
        self,
        wanted: DecisionFilter,
        policy: str,
        *,
        until: float,
        limit: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ReplaySummary:
        """What a watched policy said when the calls were made; nothing is decided again.

        `policy` is `NAME@VERSION`, or `NAME` for whichever version was watched.
        """

        async def recorded(record: DecisionRecord) -> ReplayedCall | None:
            return _watched(record, policy)

        return await self._each(wanted, recorded, until=until, limit=limit, progress=progress)

    async def _each(
        self,
        wanted: DecisionFilter,
        decide: Callable[[DecisionRecord], Awaitable[ReplayedCall | None]],
        *,
        until: float,
        limit: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> ReplaySummary:
        found = ReplaySummary()
        wanted = msgspec.structs.replace(wanted, until=min(until, wanted.until or until))
        total = await self._history.count(wanted)
        after = None
        if limit is not None and total > limit:
            after = await self._history.position(wanted, limit)
            found.left_out, total = total - limit, limit
        done = 0
        async for record in self._history.each(wanted, after=after):
            call = await decide(record)
            if call is None:
                found.skipped += 1
            else:
                found.add(call)
            done += 1
            if progress is not None and (done % 100 == 0 or done >= total):
                progress(done, max(done, total))
        return found

    async def _text(self, digest: str) -> PolicySource | None:
        async with self._database.read() as connection:
            found = await PolicyRepository(connection).request_policy(digest)
        if found is None:
            return None
        language, text = found
        return PolicySource(
            name="X-Policy", text=text, language="cedar" if language == "cedar" else "sqrt"
        )


class _Programs:
    """Compiled programs by everything they depend on; bounded."""

    def __init__(self, text: Callable[[str], Any] | None) -> None:
        self._text = text
        self._headers: dict[str, PolicySource | None] = {}
        self._compiled: OrderedDict[tuple[object, ...], CompiledPolicy | str] = OrderedDict()

    async def of(
        self, record: DecisionRecord, sources: Sequence[PolicySource]
    ) -> CompiledPolicy | str:
        """The program for a call, or why there is none."""
        basis = record.basis
        if not basis:
            return "recorded by an older version"
        if basis.get("session"):
            return "its session had policy of its own, which is not kept"
        digest = basis.get("header") if self._text is not None else None
        key = (
            tuple(sources),
            digest,
            _key(record.caller),
            _key({name: basis.get(name) for name in ("mode", "override", "presets")}),
        )
        found = self._compiled.get(key)
        if found is None:
            found = await self._compile(record, sources, digest)
            self._compiled[key] = found
            while len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        return found

    async def _compile(
        self, record: DecisionRecord, sources: Sequence[PolicySource], digest: str | None
    ) -> CompiledPolicy | str:
        header = None
        if digest is not None and self._text is not None:
            if digest not in self._headers:
                self._headers[digest] = await self._text(digest)
            header = self._headers[digest]
            if header is None:
                return "the policy of the request was not kept"
        try:
            return compile_layers(
                sources,
                None if header is None else [header],
                allow_override=record.basis.get("override") is True,
                presets=Presets(**record.basis.get("presets", {})),
                caller=caller_of(record.caller),
                mode=record.basis.get("mode", "standard"),
            )
        except PolicyError:
            return "does not compile together with the policy of the request"
        except (TypeError, ValueError):
            return "the record is not readable"


async def _decided(
    record: DecisionRecord, sources: Sequence[PolicySource], programs: _Programs
) -> ReplayedCall:
    program = await programs.of(record, sources)
    call = ReplayedCall(
        decision=record.id,
        at=record.at,
        tool=record.tool,
        session=record.session_id,
        key=record.key_id,
        outcome="unknown",
        before=record.verdict,
        before_rule=record.rule,
        after=None,
    )
    if isinstance(program, str):
        return replace(call, why=program)
    if record.reason in _NEVER_ASKED:
        return replace(call, why=_NEVER_ASKED[record.reason])
    (found,) = replay([_plain(record)], program)
    if found.decision is None:
        return replace(call, why=found.why)
    rule = found.decision.rule
    return replace(
        call,
        outcome=found.outcome,
        after=found.decision.verdict.value,
        after_rule=None if rule is None else rule.policy,
        after_text=None if rule is None else rule.rule,
        after_source=None if rule is None else rule.source,
    )


_NEVER_ASKED: Mapping[str, str] = {
    "arguments": "the arguments were not a JSON object",
    "error": "the decision had failed",
}


def _watched(record: DecisionRecord, policy: str) -> ReplayedCall | None:
    """What a watched policy said when the call was made; None when it was not asked."""
    for entry in reversed(record.shadow):
        name = str(entry.get("policy"))
        if policy in {name, name.rpartition("@")[0]}:
            verdict, rule = str(entry.get("verdict")), entry.get("rule")
            return ReplayedCall(
                decision=record.id,
                at=record.at,
                tool=record.tool,
                session=record.session_id,
                key=record.key_id,
                outcome=_shadow(record, verdict, rule),
                before=record.verdict,
                before_rule=record.rule,
                after=verdict,
                after_rule=rule,
                after_source=name,
            )
    return None


def _shadow(record: DecisionRecord, verdict: str, rule: str | None) -> Outcome:
    was, now = Verdict(record.verdict).allowed, Verdict(verdict).allowed
    if record.reason in {"guard", "pinning"}:
        return "same" if now else "other_rule"
    if was is not now:
        return "newly_allowed" if now else "newly_denied"
    return "same" if (record.verdict, record.rule) == (verdict, rule) else "other_rule"


def _plain(record: DecisionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "tool": record.tool,
        "args": record.args,
        "verdict": record.verdict,
        "reason": record.reason,
        "rule": record.rule,
        "labels": record.labels,
        "masked": record.basis.get("values") == "masked" and _has_mask(record.args),
    }


def _has_mask(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_mask, value.values()))
    if isinstance(value, list):
        return any(map(_has_mask, value))
    return value == MASK


def caller_of(recorded: Mapping[str, Any]) -> Caller:
    """Who asked, as a decision keeps it."""
    return Caller(
        user=recorded.get("user", ""),
        key=recorded.get("key", ""),
        account=recorded.get("account", ""),
        groups=frozenset(recorded.get("groups", ())),
        roles=frozenset(recorded.get("roles", ())),
        surface=recorded.get("surface", "control"),
    )


def _key(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
