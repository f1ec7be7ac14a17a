"""Policies, compiled for one caller: the package's front door.

**Layers.** Bound policies hold for everyone; a header policy comes with a
request and may make them stricter, never looser. So with a header two programs
decide: the bound policies alone, and bound and header together as one program;
the stricter verdict wins. Tools that no rule names (`default_allow`) are the
request's own affair, so the second program alone decides them: else an
allow-list in a header could let nothing through. To make that true of label
updates as well, the bound program also keeps its own labels, as if there were
no header: the world `bound` of `Labels.worlds`. A header that adds or removes a
label can therefore never satisfy a bound rule's condition. Where a key allows `override`, the
header takes the place of the bound policies instead.

**Watching.** Each watch-only policy is decided together with the enforced ones,
as it would be if it were enforced, in a world of its own (`watch:NAME`), and
never changes a verdict or a label of the main world. A new version of an enforced
policy is decided in the other's place (`PolicySource.replaces`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from interlock.policy.advice import KnownTools
from interlock.policy.cedar import CedarProgram
from interlock.policy.checker import Checked, check
from interlock.policy.engine import Engine
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.evaluate.updates import failure_text
from interlock.policy.model import (
    Caller,
    Decision,
    Labels,
    LabelSet,
    Mode,
    PolicySource,
    Presets,
    ResultUpdate,
    Session,
    ToolCall,
    Verdict,
)
from interlock.policy.presets import PRESET_SOURCE, preset_policy
from interlock.policy.program import Declaration, compile_declarations
from interlock.policy.provenance import speaks_of_provenance
from interlock.policy.scope import Scope

__all__ = ["CompiledPolicy", "compile_layers", "compile_policy"]

_BOUND = "bound"
_WATCH = "watch:"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    presets: Presets
    caller: Caller
    mode: Mode
    known_tools: KnownTools | None


class CompiledPolicy:
    """Decides calls; immutable but for what it remembers about tool names."""

    def __init__(
        self,
        main: Engine,
        *,
        bound: Engine,
        watched: Mapping[str, Engine],
        warnings: Sequence[Diagnostic],
        needs_evidence: bool = False,
    ) -> None:
        self._main = main
        self._bound = bound
        """The same engine as `main` when there is no header."""
        self._watched = dict(watched)
        self._lone = main is bound and not watched
        self.warnings = tuple(warnings)
        self.needs_evidence = needs_evidence
        """A rule asks where arguments come from: calls must be given with the labels that
        `policy.provenance.Evidence` finds, or such rules see none."""

    def decide(self, call: ToolCall, session: Session, *, trace: bool = False) -> Decision:
        """The decision on one attempted call; `decision.session` is the session from now on.

        Never raises: whatever goes wrong is a hard denial with reason `error`.
        With `trace`, `decision.rules` explains every rule about the tool.
        """
        try:
            if self._lone and not session.labels.worlds and not _have_worlds(call.labels):
                return self._main.decide(call, call.labels, session, trace=trace)
            return self._decide_worlds(call, session, trace)
        except Exception as error:  # an exception while deciding is a denial
            return Decision(
                verdict=Verdict.HARD_DENIED,
                tool=call.tool,
                rule=None,
                reason="error",
                session=session,
                labels=call.labels,
                errors=[failure_text(error)],
            )

    def result(
        self,
        call: ToolCall,
        value: object,
        initial: Labels,
        session: Session,
        *,
        failed: bool = False,
        non_executable: bool = False,
    ) -> ResultUpdate:
        """Runs `result` blocks on `initial`, then `session after` blocks.

        `initial` is what 10.5 makes of arguments and wrapper; `call.labels` are
        the arguments' labels as of the decision. `non_executable` says that the
        tool is an external one in dual-llm. Blocks run for a failed call too.
        Never raises: a result that cannot be labelled may be had by no one.
        """
        del failed  # 11.8: updates run whether or not the call succeeded
        try:
            return self._result_worlds(call, value, initial, session, non_executable)
        except Exception as error:  # labels must not get weaker because of a fault
            closed = Labels(initial.tags, initial.producers, LabelSet())
            return ResultUpdate(
                labels=closed.with_worlds(initial.worlds),
                session=session,
                args=call.labels,
                errors=[failure_text(error)],
            )

    def shadow(self, call: ToolCall, session: Session) -> list[dict[str, str | None]]:
        """What each watch-only policy would decide; `decide` puts the same into its decision."""
        return [dict(entry) for entry in self.decide(call, session).shadow]

    def _decide_worlds(self, call: ToolCall, session: Session, trace: bool) -> Decision:
        decision = ruling = self._main.decide(call, call.labels, session, trace=trace)
        denied, errors = decision.denied, decision.errors
        sessions: dict[str, Labels] = {}
        arguments: dict[str, Mapping[str, Labels]] = {}
        shadow: list[dict[str, str | None]] = []
        for name, engine in self._worlds(call, session.labels):
            labels, other = _view(call, session, name)
            seen = engine.decide(_controlled(call, name), labels, other, trace=trace)
            sessions[name], arguments[name] = seen.session.labels, seen.labels
            if name != _BOUND:
                rule = None if seen.rule is None else seen.rule.policy
                policy = name.removeprefix(_WATCH)
                shadow.append({"policy": policy, "verdict": seen.verdict.value, "rule": rule})
            elif seen.verdict.strictness > decision.verdict.strictness and not _by_default(seen):
                # The stricter one rules, and what led to it comes first.
                ruling = seen
                denied = [*seen.denied, *(rule for rule in denied if rule not in seen.denied)]
                errors = [*seen.errors, *(text for text in errors if text not in seen.errors)]
        return Decision(
            verdict=ruling.verdict,
            tool=decision.tool,
            rule=ruling.rule,
            reason=ruling.reason,
            denied=denied,
            allowed=decision.allowed,
            session=_with_worlds(decision.session, sessions, session.value),
            labels=_join_arguments(decision.labels, arguments),
            shadow=shadow,
            rules=decision.rules,
            origins=decision.origins,
            errors=errors,
        )

    def _result_worlds(
        self, call: ToolCall, value: object, initial: Labels, session: Session, external: bool
    ) -> ResultUpdate:
        update = self._main.result(
            call, value, initial.alone(), call.labels, session, non_executable=external
        )
        results: dict[str, Labels] = {}
        sessions: dict[str, Labels] = {}
        arguments: dict[str, Mapping[str, Labels]] = {}
        for name, engine in self._worlds(call, session.labels, initial):
            labels, other = _view(call, session, name)
            seen = engine.result(
                _controlled(call, name),
                value,
                initial.world(name),
                labels,
                other,
                non_executable=external,
            )
            results[name], sessions[name] = seen.labels, seen.session.labels
            arguments[name] = seen.args
        return replace(
            update,
            labels=update.labels.with_worlds(results),
            session=Session(
                labels=update.session.labels.with_worlds(sessions), value=session.value
            ),
            args=_join_arguments(update.args, arguments),
        )

    def _worlds(self, call: ToolCall, *labels: Labels) -> list[tuple[str, Engine]]:
        worlds = [(name, engine) for name, engine in self._watched.items()]
        started = any(_BOUND in held.worlds for held in (*labels, *call.labels.values()))
        if self._bound is not self._main or started:
            # A world that a header once split off stays apart for the rest of the session.
            worlds.append((_BOUND, self._bound))
        return worlds


def compile_policy(
    sources: Sequence[PolicySource],
    *,
    presets: Presets,
    caller: Caller,
    known_tools: KnownTools | None = None,
    mode: Mode = "standard",
) -> CompiledPolicy:
    """Compiles texts as one program for one caller; keep the result, it is made for reuse.

    Raises:
        PolicyError: `policy_compile_error`, with line, column and caret in the
            message and every finding in `diagnostics`.
    """
    return compile_layers(
        sources, None, presets=presets, caller=caller, known_tools=known_tools, mode=mode
    )


def compile_layers(
    bound: Sequence[PolicySource],
    header: Sequence[PolicySource] | None,
    *,
    presets: Presets,
    caller: Caller,
    allow_override: bool = False,
    known_tools: KnownTools | None = None,
    mode: Mode = "standard",
) -> CompiledPolicy:
    """Compiles bound policies and what a header adds; see the module's description.

    Raises:
        PolicyError: as `compile_policy`.
    """
    setting = _Setting(presets=presets, caller=caller, mode=mode, known_tools=known_tools)
    lower = [source for source in bound if source.enforcement == "enforce"]
    upper = [source for source in header or () if source.enforcement == "enforce"]
    if allow_override and upper:
        lower = []
    warnings: list[Diagnostic] = []
    main = _engine([*lower, *upper], setting, warnings)
    # The order matters: what the bound policies' own texts say is reported once.
    layered = bool(upper) and not allow_override
    watched = {
        f"{_WATCH}{source.name}": _engine(_with(source, [*lower, *upper]), setting, [])
        for source in (*bound, *(header or ()))
        if source.enforcement == "watch"
    }
    return CompiledPolicy(
        main,
        bound=_engine(lower, _for_bound(setting), []) if layered else main,
        watched=watched,
        warnings=warnings,
        needs_evidence=any(
            speaks_of_provenance(source.text) for source in (*bound, *(header or ()))
        ),
    )


def _for_bound(setting: _Setting) -> _Setting:
    """The setting of the bound policies next to a header: what they do not name is allowed."""
    return replace(setting, presets=replace(setting.presets, default_allow=True))


def _with(watched: PolicySource, enforced: Sequence[PolicySource]) -> list[PolicySource]:
    """The texts as they would be if the watched one were enforced."""
    if watched.replaces not in {source.name for source in enforced}:
        return [*enforced, watched]
    return [watched if source.name == watched.replaces else source for source in enforced]


def _engine(
    sources: Sequence[PolicySource], setting: _Setting, warnings: list[Diagnostic]
) -> Engine:
    declarations: list[Declaration] = []
    foreign: list[CedarProgram] = []
    preset = check(preset_policy(setting.presets), PRESET_SOURCE)
    declarations += compile_declarations(preset, setting.caller, user=False)
    errors: list[Diagnostic] = []
    scope: Scope | None = None
    for source in sources:
        try:
            if source.language == "cedar":
                foreign.append(CedarProgram(source.text, source.name, setting.caller))
                continue
            checked: Checked = check(
                source.text, source.name, before=scope, known_tools=setting.known_tools
            )
        except PolicyError as error:
            errors.extend(error.diagnostics)
            continue
        scope = checked.scope
        warnings.extend(checked.warnings)
        declarations += compile_declarations(checked, setting.caller, user=True)
    if errors:
        raise PolicyError(errors)
    return Engine(declarations, foreign, presets=setting.presets, mode=setting.mode)


def _by_default(decision: Decision) -> bool:
    """Whether a call was allowed because no rule says anything about it."""
    return decision.verdict.allowed and decision.reason == "default"


def _have_worlds(labels: Mapping[str, Labels]) -> bool:
    return any(held.worlds for held in labels.values())


def _view(call: ToolCall, session: Session, name: str) -> tuple[dict[str, Labels], Session]:
    labels = {argument: held.world(name) for argument, held in call.labels.items()}
    held = session.labels.world(name)
    if held is session.labels:
        return labels, session
    return labels, Session(labels=held, value=session.value)


def _with_worlds(session: Session, worlds: Mapping[str, Labels], value: object) -> Session:
    labels = session.labels.with_worlds(worlds)
    if labels is session.labels and value is session.value:
        return session
    return Session(labels=labels, value=value)


def _controlled(call: ToolCall, name: str) -> ToolCall:
    """The call with the labels of its control as that world sees them."""
    return replace(call, control=call.control.world(name)) if call.control.worlds else call


def _join_arguments(
    main: Mapping[str, Labels], worlds: Mapping[str, Mapping[str, Labels]]
) -> Mapping[str, Labels]:
    if not main and not any(worlds.values()):
        return main
    names = {*main, *(name for labels in worlds.values() for name in labels)}
    empty = Labels()
    return {
        name: main.get(name, empty).with_worlds(
            {world: labels.get(name, empty) for world, labels in worlds.items()}
        )
        for name in sorted(names)
    }
