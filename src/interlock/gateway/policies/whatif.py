"""Decides a recorded call again: to explain every rule, or with something changed.

Nothing is recorded and nothing takes effect. What cannot be known (values or policy not
kept) is said, never guessed.

Source: gateway.md section 11.13, console.md section 5.3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.gateway.policies.errors import PolicyNotFoundError, VersionNotFoundError
from interlock.gateway.policies.model import SERVER, source_of
from interlock.gateway.policies.replaying import caller_of
from interlock.gateway.policies.service import PolicyStore
from interlock.gateway.records import DecisionRecord
from interlock.policy.compiled import compile_layers
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.model import (
    Decision,
    Labels,
    LabelSet,
    PolicySource,
    Presets,
    Session,
    ToolCall,
)

__all__ = ["Basis", "Change", "Simulated", "WhatIf"]

_SAFE_PRESETS = frozenset(Presets.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The texts a call was decided under."""

    bound: tuple[PolicySource, ...] = ()
    header: PolicySource | None = None
    missing: tuple[str, ...] = ()
    """Names of texts that are not kept any more."""

    @property
    def texts(self) -> tuple[PolicySource, ...]:
        """All of them, in the order they apply."""
        return self.bound if self.header is None else (*self.bound, self.header)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be different; None: as it was."""

    args: Mapping[str, Any] | None = None
    """All arguments."""
    tags: Mapping[str, Sequence[str]] | None = None
    """Tags of arguments by name; an argument that is not named keeps its own."""
    session_tags: Sequence[str] | None = None
    texts: Sequence[PolicySource] | None = None
    """In place of everything the call was decided under."""
    presets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What would be decided."""

    decision: Decision | None
    """None: it cannot be known; see `problem`."""
    basis: Basis
    problem: str = ""
    findings: tuple[Diagnostic, ...] = ()
    """Why a text does not compile."""


class WhatIf:
    """Decides recorded calls again."""

    def __init__(
        self, policies: PolicyStore, *, files: Callable[[], Sequence[PolicySource]]
    ) -> None:
        self._policies = policies
        self._files = files

    async def basis(self, record: DecisionRecord) -> Basis:
        """The texts the call was decided under, as far as they are kept."""
        files = {source.name: source for source in self._files()}
        bound: list[PolicySource] = []
        missing: list[str] = []
        for name in record.basis.get("bound") or ():
            found = files.get(name) or await self._stored(str(name), record.account_id)
            if found is None:
                missing.append(str(name))
            else:
                bound.append(found)
        digest = record.basis.get("header")
        header = None if digest is None else await self._policies.request_policy(str(digest))
        if digest is not None and header is None:
            missing.append("X-Policy")
        return Basis(bound=tuple(bound), header=header, missing=tuple(missing))

    async def simulate(self, record: DecisionRecord, change: Change | None = None) -> Simulated:
        """Decides the call again with every rule traced."""
        change = change or Change()
        basis = await self.basis(record)
        problem = _unknowable(record, basis, change)
        if problem:
            return Simulated(decision=None, basis=basis, problem=problem)
        layered = change.texts is None
        texts = basis.bound if change.texts is None else tuple(change.texts)
        presets = {**record.basis.get("presets", {}), **change.presets}
        try:
            program = compile_layers(
                texts,
                [basis.header] if layered and basis.header is not None else None,
                allow_override=record.basis.get("override") is True,
                presets=Presets(**{k: v for k, v in presets.items() if k in _SAFE_PRESETS}),
                caller=caller_of(record.caller),
                mode=record.basis.get("mode", "standard"),
            )
            call, session = _call(record, change)
        except PolicyError as error:
            return Simulated(
                decision=None,
                basis=basis,
                problem="the policy does not compile",
                findings=error.diagnostics,
            )
        except (AttributeError, TypeError, ValueError):
            return Simulated(decision=None, basis=basis, problem="the record is not readable")
        return Simulated(decision=program.decide(call, session, trace=True), basis=basis)

    async def _stored(self, name: str, account_id: str) -> PolicySource | None:
        plain, _, number = name.rpartition("@")
        if not number.isdigit():
            return None
        for owner in (SERVER, account_id):
            try:
                policy, version = await self._policies.version(plain, int(number), account_id=owner)
            except (PolicyNotFoundError, VersionNotFoundError):
                continue
            return source_of(policy, version)
        return None


def _unknowable(record: DecisionRecord, basis: Basis, change: Change) -> str:
    if record.args is None and change.args is None:
        return "the values of this call were not kept"
    if not record.basis:
        return "it was recorded by an older version"
    if change.texts is None:
        if record.basis.get("session"):
            return "its session had a policy of its own, which is not kept"
        if basis.missing:
            return f"`{basis.missing[0]}` is not kept any more"
    return ""


def _call(record: DecisionRecord, change: Change) -> tuple[ToolCall, Session]:
    args = dict(record.args or {}) if change.args is None else dict(change.args)
    labels = {
        name: Labels.from_record(meta) for name, meta in (record.labels.get("args") or {}).items()
    }
    for name, tags in (change.tags or {}).items():
        labels[name] = replace(labels.get(name, Labels()).alone(), tags=LabelSet.from_wire(tags))
    session = Labels.from_record(record.labels.get("session") or {})
    if change.session_tags is not None:
        session = replace(session.alone(), tags=LabelSet.from_wire(change.session_tags))
    held = {name: found for name, found in labels.items() if name in args}
    return ToolCall(tool=record.tool, args=args, labels=held), Session(labels=session)
