"""Runs policy test cases and says which expectation was not met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interlock.policy.branching import branch_violation
from interlock.policy.cases import Case, CaseError, CaseFile, Setting, Step, read_labels
from interlock.policy.compiled import CompiledPolicy, compile_layers, compile_policy
from interlock.policy.denial import denial_message
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.labels import combine_labels, initial_labels, unwrap
from interlock.policy.model import DEFAULT_LABELS, Decision, Labels, PolicySource, Session, ToolCall

__all__ = ["CaseResult", "run_cases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What became of one test."""

    file: str
    name: str
    problems: Sequence[str] = ()
    """Empty when it passed."""

    @property
    def passed(self) -> bool:
        """Whether everything came out as expected."""
        return not self.problems


@dataclass(slots=True)
class _Run:
    policy: CompiledPolicy
    setting: Setting
    session: Session
    saved: dict[str, Labels] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def run_cases(file: CaseFile) -> list[CaseResult]:
    """Runs every test of a file; a policy that does not compile fails all of them.

    Raises:
        CaseError: a test is not in the format after all.
    """
    results = []
    if file.want_error is not None or file.want_warnings is not None:
        problems = _compile_problems(file)
        results.append(CaseResult(file=file.name, name="compiles as expected", problems=problems))
    for number, item in enumerate(file.rejects, 1):
        results.append(_rejected(file, number, item))
    policies: dict[int, CompiledPolicy | PolicyError] = {}
    for case in file.cases:
        key = id(case.setting)
        if key not in policies:
            policies[key] = _compiled(file, case.setting)
        policy = policies[key]
        if isinstance(policy, PolicyError):
            problems = [f"the policy does not compile: {policy.message}"]
        else:
            problems = _run_case(case, policy, file.name)
        results.append(CaseResult(file=file.name, name=case.name, problems=problems))
    return results


def _rejected(file: CaseFile, number: int, item: Mapping[str, object]) -> CaseResult:
    text = str(item.get("policy", ""))
    cedar = item.get("language") == "cedar"
    source = PolicySource(name="policy", text=text, language="cedar" if cedar else "sqrt")
    setting = file.setting
    name = f"rejects[{number}] {text.strip().splitlines()[0] if text.strip() else ''}"[:100]
    try:
        compile_policy([source], presets=setting.presets, caller=setting.caller)
    except PolicyError as error:
        return CaseResult(file=file.name, name=name, problems=_error_problems(error, item))
    return CaseResult(
        file=file.name, name=name, problems=["expected an error, but the policy compiles"]
    )


def _compiled(file: CaseFile, setting: Setting) -> CompiledPolicy | PolicyError:
    try:
        return compile_layers(
            file.bound,
            file.header,
            presets=setting.presets,
            caller=setting.caller,
            allow_override=file.allow_override,
            known_tools=file.known_tools,
            mode=setting.mode,
        )
    except PolicyError as error:
        return error


def _compile_problems(file: CaseFile) -> list[str]:
    compiled = _compiled(file, file.setting)
    if isinstance(compiled, PolicyError):
        if file.want_error is None:
            return [f"the policy does not compile: {compiled.message}"]
        return _error_problems(compiled, file.want_error)
    if file.want_error is not None:
        return ["expected an error, but the policy compiles"]
    return _warning_problems(compiled.warnings, file.want_warnings or ())


def _error_problems(error: PolicyError, want: Mapping[str, object]) -> list[str]:
    first = error.diagnostics[0]
    got = {"code": error.error_code, "line": first.line, "column": first.column}
    problems = [
        f"error {key}: expected {want[key]!r}, got {value!r} ({first.message})"
        for key, value in got.items()
        if key in want and want[key] != value
    ]
    if str(want.get("message", "")) not in first.message:
        problems.append(f"error message: expected {want['message']!r} in {first.message!r}")
    return problems


def _warning_problems(
    warnings: Sequence[Diagnostic], wanted: Sequence[Mapping[str, object]]
) -> list[str]:
    if len(warnings) != len(wanted):
        found = [(warning.line, warning.message) for warning in warnings]
        return [f"expected {len(wanted)} warnings, got {found}"]
    return [
        f"warning in line {warning.line}: expected {dict(want)}, got {warning.message!r}"
        for warning, want in zip(warnings, wanted, strict=True)
        if want.get("line", warning.line) != warning.line
        or str(want.get("message", "")) not in warning.message
    ]


def _run_case(case: Case, policy: CompiledPolicy, where: str) -> list[str]:
    labels = read_labels(case.session, {}, f"{where}: {case.name}: session")
    session = Session(labels=labels, value=case.session_value)
    run = _Run(policy, case.setting, session)
    for number, step in enumerate(case.steps, 1):
        prefix = f"step {number}: " if len(case.steps) > 1 else ""
        before = len(run.problems)
        place = f"{where}: {case.name}"
        if step.branch is not None:
            _run_branch(run, step.branch, place)
        else:
            _run_call(run, step, place)
        run.problems[before:] = [prefix + problem for problem in run.problems[before:]]
    return run.problems


def _run_branch(run: _Run, branch: Mapping[str, object], where: str) -> None:
    labels = read_labels(branch.get("labels"), run.saved, f"{where}: branch")
    found = None
    if run.setting.mode == "custom":
        found = branch_violation(labels, run.setting.branching)
    if (found is not None) is not bool(branch.get("violation", False)):
        run.problems.append(f"branch: got {found or 'no violation'}")


def _run_call(run: _Run, step: Step, where: str) -> None:
    call = _call(step.call or {}, run.saved, where)
    decision = run.policy.decide(call, run.session, trace=True)
    quick = run.policy.decide(call, run.session)
    if (quick.verdict, quick.rule and quick.rule.policy) != (
        decision.verdict,
        decision.rule and decision.rule.policy,
    ):
        run.problems.append("explaining the decision changed it")
    run.session = decision.session
    _check(run, "call", step.want, _seen(decision, call))
    if step.result is None:
        return
    call = ToolCall(tool=call.tool, args=call.args, labels=decision.labels)
    _run_result(run, call, step.result, where)


def _call(spec: Mapping[str, object], saved: Mapping[str, Labels], where: str) -> ToolCall:
    tool, args, labels = spec.get("tool"), spec.get("args", {}), spec.get("labels", {})
    if not isinstance(tool, str) or not isinstance(args, dict) or not isinstance(labels, dict):
        raise CaseError(f"{where}: a call has a `tool`, `args` and `labels` by argument name")
    unknown = sorted(set(labels) - set(args))
    if unknown:
        raise CaseError(f"{where}: labels for `{unknown[0]}`, which is no argument of the call")
    read = {name: read_labels(spec, saved, f"{where}: {name}") for name, spec in labels.items()}
    return ToolCall(tool=tool, args=args, labels=read)


def _run_result(run: _Run, call: ToolCall, spec: Mapping[str, object], where: str) -> None:
    value = spec.get("value")
    initial = initial_labels(call)
    if "labels" in spec:
        initial = read_labels(spec["labels"], run.saved, f"{where}: result")
    wrapped = unwrap(value)
    if wrapped is not None:
        value, initial = wrapped.value, combine_labels(initial, wrapped)
    update = run.policy.result(
        call,
        value,
        initial,
        run.session,
        failed=spec.get("failed") is True,
        non_executable=spec.get("external", True) is True,
    )
    run.session = update.session
    if isinstance(spec.get("save"), str):
        run.saved[str(spec["save"])] = update.labels
    want = spec.get("want") or {}
    if not isinstance(want, dict):
        raise CaseError(f"{where}: result: `want` is a mapping")
    seen: dict[str, object] = {
        "tags": update.labels.tags.to_wire(),
        "producers": update.labels.producers.to_wire(),
        "consumers": update.labels.consumers.to_wire(),
        "session": update.session.labels.to_wire(),
        "args": {name: labels.to_wire() for name, labels in update.args.items()},
    }
    unknown = sorted(set(want) - set(seen))
    if unknown:
        raise CaseError(f"{where}: result: unknown expectation `{unknown[0]}`")
    _check(run, "result", want, seen)


def _seen(decision: Decision, call: ToolCall) -> dict[str, object]:
    rule = decision.rule
    return {
        "verdict": decision.verdict.value,
        "rule": None if rule is None else rule.policy,
        "reason": decision.reason,
        "description": None if rule is None else rule.description,
        "session": decision.session.labels.to_wire(),
        "denied": [trace.policy for trace in decision.denied],
        "allowed": [trace.policy for trace in decision.allowed],
        "shadow": [dict(entry) for entry in decision.shadow],
        "message": denial_message(decision, call),
    }


def _check(run: _Run, what: str, want: Mapping[str, object], seen: Mapping[str, object]) -> None:
    for key, expected in want.items():
        got = seen[key]
        if key == "message":
            met = str(expected) in str(got)
        elif isinstance(expected, dict) and isinstance(got, dict):
            met = _subset(expected, got)
        else:
            met = _sorted(expected) == _sorted(got) if key in _LABEL_FIELDS else expected == got
        if not met:
            run.problems.append(f"{what} {key}: expected {expected!r}, got {got!r}")


_LABEL_FIELDS = frozenset({"tags", "producers", "consumers"})


def _subset(expected: Mapping[str, object], got: Mapping[str, object]) -> bool:
    for key, value in expected.items():
        other = got.get(key, DEFAULT_LABELS.to_wire() if isinstance(value, dict) else None)
        if isinstance(value, dict) and isinstance(other, dict):
            if not _subset(value, other):
                return False
        elif _sorted(value) != _sorted(other):
            return False
    return True


def _sorted(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value
