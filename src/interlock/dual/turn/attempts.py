"""Attempts and steps: how they end, what the planner is told, and whether there is another one.

Source: gateway.md 10.2 (budgets, single and several steps), 10.3, 10.7 (codes and sentences).
"""

from collections.abc import Sequence
from typing import Final

from interlock.dual.errors import ProgramError, RunError
from interlock.dual.plain import plain
from interlock.dual.turn import planning
from interlock.dual.turn.answer import ErrorCode, control_flow_message
from interlock.dual.turn.engine import Ended, Engine
from interlock.dual.turn.feedback import called_lines, error_lines, is_clean, report
from interlock.dual.turn.state import (
    CallState,
    FinalState,
    Pending,
    State,
    StepState,
    ValueState,
    pack,
)
from interlock.dual.turn.visibility import identifiers, shown_type, variable_lines
from interlock.policy.model import DEFAULT_LABELS

__all__ = [
    "ask_user",
    "begin_step",
    "broke",
    "cut_off",
    "denied",
    "ended",
    "fail_turn",
    "give_up",
    "known_variables",
    "may_retry",
    "no_program",
    "not_compiled",
    "out_of_steps",
    "rejected",
    "review_question",
    "snapshot",
    "steps_left",
    "too_many_calls",
]

_CALLED: Final = "Tools it had called; what they did is done, so do not do it twice:"
_MESSAGE_CHARS: Final = 2_000
"""Of an exception's message in the answer."""

_VARIABLES: Final = "Variables:"


def begin_step(state: State, reply: str, program: str | None) -> None:
    """A new attempt with what the planner said."""
    state.steps.append(StepState(number=len(state.steps) + 1, reply=reply, program=program))


def ask_user(state: State, question: str) -> None:
    """The planner has a question: that is the answer."""
    value = ValueState(value=pack(question), labels=DEFAULT_LABELS, value_type="str")
    state.ending = FinalState(value=value)
    state.phase = "over"


# How an attempt ends


def no_program(state: State, engine: Engine | None) -> None:
    """The planner answered something else."""
    _fail(state, "planner_error", "the planner's answer has no program")
    _report(state, ["The answer has no program between ```python and ```."], engine)


def cut_off(state: State, engine: Engine | None) -> None:
    """The planner's answer is not whole: what is there may do half of what was meant."""
    _fail(state, "planner_error", "the planner's answer was cut off at its token limit")
    _report(state, ["The answer was cut off at its token limit. Nothing of it was run."], engine)


def not_compiled(state: State, error: ProgramError, engine: Engine | None) -> None:
    """The program is none of the language; the message derives from its text alone.

    Of a name that nobody binds it says which tools there are: a graph's functions need not be
    named as its nodes are (13).
    """
    _fail(state, "program_error", error.message)
    _report(state, [f"The program was not run: {error.message}"], engine)


def too_many_calls(state: State, line: int, engine: Engine | None) -> None:
    """The program wants more calls than a step may make."""
    limit = state.input.config.fsm.max_tool_calls_per_step
    words = f"more than {limit} tool calls"
    _fail(state, "max_tool_calls_exceeded", f"the program makes {words} (line {line})")
    _report(state, [f"The program makes {words}, in line {line}."], engine)


def denied(
    state: State,
    call: CallState,
    message: str,
    *,
    code: ErrorCode,
    hard: bool,
    engine: Engine | None,
) -> None:
    """A policy forbids a call. The planner learns which tool and line, not why."""
    _fail(state, code, message)
    verdict = "is forbidden" if hard else "was not approved"
    said = f"the call of `{call.tool}` in line {call.line} {verdict} with these arguments"
    _report(state, [f"Policy violation: {said}. Do not try the same again."], engine)


def broke(state: State, engine: Engine, error: RunError) -> bool:
    """The program ended badly; True when the branching policy ended it."""
    if error.kind == "control_flow_violation":
        retries = state.input.config.fsm.retry_on_policy_violation
        _fail(state, "control_flow_violation", control_flow_message(retries=retries))
        state.denied = True
        state.history.append(pack(_branch_entry(state, error)))
        _report(
            state,
            [
                f"Control flow violation: the condition in line {error.line} must not decide "
                "what happens, because of where its data comes from."
            ],
            engine,
        )
        return True
    code: ErrorCode = "tool_error" if error.type_name == "ToolError" else "program_error"
    if error.kind == "tool_calls":
        code = "max_tool_calls_exceeded"
    place = f" (line {error.line})" if error.line else ""
    text = error.message[:_MESSAGE_CHARS]
    said = f"{error.type_name}: {text}" if text else error.type_name
    _fail(state, code, f"{said}{place}", derived=not is_clean(error.mark))
    known = _own_words(state)
    step = state.steps[-1]
    prompt = state.input.config.prompt
    source = step.program or ""
    step.review_lines = error_lines(
        error, level=prompt.rllm.debug_info_level, known=known, source=source
    )
    lines = error_lines(error, level=prompt.pllm.debug_info_level, known=known, source=source)
    _report(state, lines, engine)
    return False


def ended(state: State, engine: Engine, event: Ended) -> bool:
    """The program ran to its end; True when that ends the turn too."""
    step = state.steps[-1]
    step.outcome = "done"
    fsm = state.input.config.fsm
    multistep = fsm.enable_multistep_planning and state.input.user_program is None
    if multistep and (event.in_progress or not event.has_final):
        head = f"Step {step.number} ran to its end."
        bare, full = _variables(state, engine)
        hint = [] if event.in_progress else ["It did not set `final_return_value`."]
        step.report = report(head, ("Note:", hint), (_VARIABLES, full))
        step.bare_report = report(head, ("Note:", hint), (_VARIABLES, bare))
        return False
    state.ending = FinalState(
        value=event.value,
        derived=event.derived,
        namespace=snapshot(state, engine),
    )
    return True


def rejected(state: State, engine: Engine, points: Sequence[str]) -> None:
    """The review wants something else."""
    step = state.steps[-1]
    step.outcome = "rejected"
    state.ending = None
    grammar = state.input.config.fsm.reduced_grammar_for_rllm_review
    lines = ["Another program is wanted."]
    if grammar != "none":
        lines = ["A review did not accept it.", *points]
    step.code = "max_steps_exceeded"
    step.message = "a review did not accept the result"
    _report(state, lines, engine)


# Budgets


def steps_left(state: State) -> bool:
    """Whether the turn may have another attempt or step."""
    return len(state.steps) < state.input.config.fsm.max_pllm_steps


def may_retry(state: State, *, violation: bool) -> bool:
    """Whether a failed attempt is followed by another one."""
    fsm = state.input.config.fsm
    if state.input.user_program is not None or not steps_left(state):
        return False
    if violation and not fsm.retry_on_policy_violation:
        return False
    failed = sum(step.outcome == "failed" for step in state.steps)
    return fsm.max_pllm_failed_steps is None or failed < fsm.max_pllm_failed_steps


def give_up(state: State, engine: Engine | None) -> None:
    """The turn fails as its last attempt did."""
    step = state.steps[-1]
    fail_turn(state, step.code, step.message, engine)


def out_of_steps(state: State, engine: Engine | None) -> None:
    """The turn fails because the budget of steps is used up before it was done."""
    limit = state.input.config.fsm.max_pllm_steps
    words = f"the task was not completed within {limit} planner steps"
    fail_turn(state, "max_steps_exceeded", words, engine)


def fail_turn(state: State, code: ErrorCode, message: str, engine: Engine | None) -> None:
    """The turn is over, as a failure."""
    state.ending = FinalState(
        code=code, message=message, derived=True, namespace=snapshot(state, engine)
    )
    state.phase = "over"


def snapshot(state: State, engine: Engine | None) -> dict[str, ValueState]:
    """The program's variables, when the answer is to have them."""
    wanted = state.input.config.response_format.include_namespace_snapshot
    return engine.snapshot() if wanted and engine is not None else {}


# What is shown


def known_variables(state: State) -> list[str]:
    """Lines about the variables a program starts with, beside those that steps reported."""
    if not state.input.context_vars:
        return []
    names, marks = Engine.context(state.input)
    level = state.input.config.prompt.pllm.context_var_visibility
    fsm = state.input.config.fsm
    bare, full = variable_lines(names, marks=marks, level=level, known=frozenset(), plain=plain)
    return bare if fsm.pllm_context_pruning and state.steps else full


def review_question(state: State, engine: Engine, no: int) -> Pending:
    """What the reviewer is asked: names and types, no value whatever the visibility."""
    bare, _ = _variables(state, engine)
    ending = state.ending
    kind = "NoneType" if ending is None or ending.value is None else ending.value.value_type
    shown = shown_type(kind, _own_words(state))
    return planning.review_question(state, no, bare, shown)


def _variables(state: State, engine: Engine) -> tuple[list[str], list[str]]:
    return variable_lines(
        engine.variables(),
        marks=engine.marks,
        level=state.input.config.prompt.pllm.context_var_visibility,
        known=_own_words(state),
        plain=engine.plain,
    )


def _own_words(state: State) -> frozenset[str]:
    """Every word of the planner's programs."""
    return identifiers(*(one.source for one in state.programs))


def _fail(state: State, code: ErrorCode, message: str, *, derived: bool = True) -> None:
    step = state.steps[-1]
    step.outcome = "failed"
    step.code, step.message, step.derived = code, message, derived


def _report(state: State, lines: Sequence[str], engine: Engine | None = None) -> None:
    """Tells the planner how its newest attempt went."""
    step = state.steps[-1]
    multistep = state.input.config.fsm.enable_multistep_planning
    verb = "was not accepted" if step.outcome == "rejected" else "failed"
    head = f"{'Step' if multistep else 'Attempt'} {step.number} {verb}."
    bare: list[str] = []
    full: list[str] = []
    if multistep and engine is not None:
        bare, full = _variables(state, engine)
    called = called_lines(step.called)
    said = ("What happened:", lines)
    step.report = report(head, said, (_CALLED, called), (_VARIABLES, full))
    step.bare_report = report(head, said, (_CALLED, called), (_VARIABLES, bare))


def _branch_entry(state: State, error: RunError) -> dict[str, object]:
    """The history entry of a branching violation (10.8)."""
    rule = {
        "policy": "branching_meta_policy",
        "source": "preset",
        "rule": error.message,
        "line": error.line,
        "description": None,
        "enforcement": "hard",
    }
    return {
        "step": state.steps[-1].number,
        "tool": "<branch>",
        "tool_call_id": None,
        "final_verdict": "hard_denied",
        "denied": [rule],
        "allowed": [],
        "default": None,
        "session_meta": state.session_labels.to_wire(),
        "args_meta": {},
        "line": error.line,
    }
