"""How a turn advances: one phase after the other until something outside is needed.

    clear -> auto_gen -> filter -> plan -> select -> run -> review -> reduce -> over
              (once per turn)      ^                  |        |         |
                                   +--- next attempt -+--------+---------+

Source: gateway.md 10.2.
"""

from collections.abc import Mapping
from typing import Any, Literal

from interlock.dual.errors import ProgramError
from interlock.dual.turn import attempts, calls, planning
from interlock.dual.turn.answer import Answer, AnswerValue, ErrorCode, TurnError
from interlock.dual.turn.commands import (
    Ask,
    ClearSession,
    Command,
    Decide,
    Final,
    Label,
    Question,
    Restrict,
    Suspend,
    Turned,
)
from interlock.dual.turn.engine import Broke, Calls, Ended, Engine, known_names
from interlock.dual.turn.policies import PolicyWriter, Problem, Write, WriterFactory
from interlock.dual.turn.signatures import Bound, bind
from interlock.dual.turn.state import (
    CallState,
    Pending,
    Phase,
    ProgramState,
    State,
    StopState,
    ValueState,
    pack,
    unpack,
)

__all__ = ["Phases"]


class Phases:
    """The part of a turn that decides what comes next."""

    def __init__(self, state: State, engine: Engine | None, writer: WriterFactory | None) -> None:
        self._state = state
        self._engine = engine
        self._factory = writer
        self._writer: PolicyWriter | None = None
        taken = state.input.config.fsm.enabled_internal_tools
        self._tools = bind(state.input.tools, taken)

    # Phases

    def _advance(self) -> Command | None:
        state = self._state
        match state.phase:
            case "clear":
                return ClearSession(step=state.attempt)
            case "restrict":
                return Restrict(no=state.restrict_no, code=state.policy_code, origin="auto_gen")
            case "run":
                return self._run()
            case "over":
                self._stopped([])
                return Final(answer=self._answer())
            case "prepare":
                self._prepare()
                return None
        if not state.questions:
            state.questions = self._questions(state.phase)
        waiting = [one for one in state.questions if one.open]
        if waiting:
            return Ask(asks=tuple(_asked(one) for one in waiting))
        asked, state.questions = state.questions, []
        self._concluded(state.phase, asked)
        return None

    def _prepare(self) -> None:
        """Chooses what comes before the attempt: policies and the tool filter, once a turn."""
        state = self._state
        fsm = state.input.config.fsm
        least = fsm.min_num_tools_for_filtering
        if state.input.auto_gen and not state.written:
            state.phase = "auto_gen"
        elif state.input.user_program is not None:
            self._start_program(state.input.user_program)
        elif not state.filtered and least is not None and len(self._tools) >= least:
            state.phase = "filter"
        else:
            state.phase = "plan"

    def _questions(self, phase: Phase) -> list[Pending]:
        state = self._state
        match phase:
            case "auto_gen":
                return self._policy_question()
            case "filter":
                return [planning.filter_question(state, self._number(), self._tools)]
            case "plan":
                count = min(state.input.config.fsm.n_pllm_plans, planning.MAX_PLANS)
                numbers = [self._number() for _ in range(count)]
                notes = attempts.known_variables(state)
                return planning.planner_questions(state, self._offered(), numbers, notes)
            case "select":
                programs = [planning.read_reply(one).program or one for one in state.candidates]
                return [planning.selector_question(state, self._number(), programs)]
            case "review":
                return [attempts.review_question(state, self._running(), self._number())]
            case "reduce":
                advice = state.steps[-1].message
                return [planning.reduce_question(state, self._number(), advice, self._offered())]
        return []

    def _concluded(self, phase: Phase, asked: list[Pending]) -> None:
        """All questions of a phase have their answers."""
        state = self._state
        first = asked[0] if asked else None
        answer = None if first is None else first.answer
        match phase:
            case "auto_gen":
                self._policy_answered(first)
            case "filter":
                names = [tool.spec.name for tool in self._tools]
                state.selected = planning.read_tools(answer, names)
                state.filtered = True
                state.phase = "plan"
            case "plan":
                self._planned(asked)
            case "select":
                chosen = planning.read_choice(answer, len(state.candidates))
                reply, state.candidates = state.candidates[chosen], []
                self._start(reply)
            case "review":
                self._reviewed(answer)
            case "reduce":
                lines = len((state.steps[-1].program or "").splitlines())
                self._rejected(planning.advice_lines(answer, self._offered(), lines))

    # Policies

    def _policy_question(self) -> list[Pending]:
        step: object = None
        if self._factory is not None:
            given = self._state.input
            internal = given.config.fsm.enabled_internal_tools
            self._writer = self._factory(self._state.request, given.tools, internal)
            step = self._writer.begin()
        return self._policy_step(step)

    def _policy_step(self, step: object) -> list[Pending]:
        state = self._state
        if isinstance(step, Write):
            message: tuple[Literal["user", "assistant"], str] = ("user", step.user)
            no = self._number()
            return [Pending(no=no, role="policy_llm", system=step.system, messages=[message])]
        if step is None:
            self._give_up("planner_error", "no policy can be generated: there is no writer")
            return []
        if isinstance(step, Problem):
            # Section 5: what does not compile is dropped, and the log says so.
            state.policy_problem = step.message
            state.written = True
            state.phase = "prepare"
            return []
        state.policy_code = getattr(step, "code", "")
        state.restrict_no = self._number()
        state.written = not state.policy_code.strip()
        state.phase = "prepare" if state.written else "restrict"
        return []

    def _policy_answered(self, question: Pending | None) -> None:
        if question is None:
            return
        if question.failed is not None or self._writer is None:
            self._upstream_failed(question)
            return
        step = self._writer.answered(question.answer or "", cut=question.cut)
        self._state.questions = self._policy_step(step)

    # Planning

    def _planned(self, asked: list[Pending]) -> None:
        state = self._state
        answers = [(one.answer, one.cut) for one in asked if one.answer is not None]
        if not answers:
            self._upstream_failed(asked[0])
            return
        replies = [answer for answer, cut in answers if not cut]
        if not replies:
            attempts.begin_step(state, planning.read_reply(answers[0][0]).shown, None)
            attempts.cut_off(state, self._kept())
            self._after_failure()
            return
        usable = list(dict.fromkeys(one for one in replies if self._compiles(one)))
        if len(usable) > 1:
            state.candidates = usable
            state.phase = "select"
        elif usable:
            self._start(usable[0])
        else:
            self._start(next((r for r in replies if planning.read_reply(r).program), replies[0]))

    def _compiles(self, text: str) -> bool:
        program = self._program_in(text)
        return program is not None and self._problem_of(program) is None

    def _program_in(self, text: str) -> str | None:
        """The program of a reply; a whole reply that is one needs no fence."""
        reply = planning.read_reply(text)
        if reply.program is None and any(sign in reply.text for sign in "=(\n"):
            return reply.text if self._problem_of(reply.text) is None else None
        return reply.program

    def _problem_of(self, program: str) -> str | None:
        try:
            Engine.check(self._state.input, self._offered(), program, self._kept())
        except ProgramError as error:
            return error.message
        return None

    def _start(self, text: str) -> None:
        """Runs a reply's program; a reply without one asks the user, or failed."""
        reply = planning.read_reply(text)
        program = self._program_in(text)
        if program is not None:
            self._start_program(program)
        elif self._state.input.config.prompt.pllm.clarify_ambiguous_queries and reply.text:
            attempts.ask_user(self._state, reply.text)
        else:
            attempts.begin_step(self._state, reply.shown, None)
            attempts.no_program(self._state, self._kept())
            self._after_failure()

    def _start_program(self, source: str) -> None:
        state = self._state
        attempts.begin_step(state, planning.Reply(source, source).shown, source)
        kept = self._kept()
        try:
            compiled = Engine.check(state.input, self._offered(), source, kept)
        except ProgramError as error:
            attempts.not_compiled(state, error, kept)
            self._after_failure()
            return
        program = ProgramState(source=source, names=known_names(state.input, kept))
        state.programs = [*(state.programs if kept is not None else []), program]
        self._engine = Engine.begin(state.input, compiled, kept)
        state.phase = "run"

    # Running

    def _run(self) -> Command | None:
        state = self._state
        current = [one for one in state.calls if one.stage != "done"]
        if not current:
            self._interpreted()
            return None
        deciding = [one for one in current if one.stage == "decide"]
        if deciding:
            return Decide(calls=tuple(one.shown() for one in deciding))
        for one in current:
            if one.stage == "restrict":
                code = unpack(one.args).get("code")
                return Restrict(no=one.no, code=code if isinstance(code, str) else "")
        waiting = [one for one in state.questions if one.open]
        if waiting:
            return Ask(asks=tuple(_asked(one) for one in waiting))
        if state.questions:
            self._extracted()
            return None
        for one in current:
            if one.stage == "label":
                value = None if one.failed or one.value is None else unpack(one.value)
                return Label(
                    no=one.no, call=one.shown(), value=value, initial=one.initial, failed=one.failed
                )
        out = self._out()
        self._stopped([one.no for one in out])
        return Suspend(calls=tuple(one.shown() for one in out))

    def _interpreted(self) -> None:
        """Lets the program run to its next event."""
        state = self._state
        engine = self._running()
        event = engine.run()
        match event:
            case Calls():
                if calls.request(state, event, self._number):
                    return
                attempts.too_many_calls(state, event.line, self._kept())
                self._after_failure()
            case Ended():
                if attempts.ended(state, engine, event):
                    self._completed()
                else:
                    self._enter_attempt()
            case Broke():
                violation = attempts.broke(state, engine, event.error)
                self._after_failure(violation=violation)

    def _extracted(self) -> None:
        """The quarantined model and the error detector have answered."""
        state = self._state
        asked, state.questions = state.questions, []
        for question in asked:
            if question.failed is not None and question.role == "qllm":
                state.questions = []
                self._upstream_failed(question)
                return
            call = next(one for one in state.calls if one.no == question.call)
            calls.concluded(state, call, question, self._number)

    def _completed(self) -> None:
        """The program came to a final value."""
        state = self._state
        if state.input.config.fsm.disable_rllm or state.input.user_program is not None:
            state.phase = "over"
        else:
            state.phase = "review"

    # Review

    def _reviewed(self, answer: str | None) -> None:
        state = self._state
        accepted, advice = planning.read_review(answer)
        if accepted:
            state.phase = "over"
            return
        grammar = state.input.config.fsm.reduced_grammar_for_rllm_review
        if grammar == "text" and advice.strip():
            state.steps[-1].message = advice
            state.phase = "reduce"
        else:
            self._rejected([])

    def _rejected(self, points: list[str]) -> None:
        attempts.rejected(self._state, self._running(), points)
        self._after_failure(rejected=True)

    # Attempts

    def _enter_attempt(self) -> None:
        state = self._state
        state.attempt += 1
        if state.attempt > 1 and not attempts.steps_left(state):
            attempts.out_of_steps(state, self._engine)
            return
        when = state.input.config.fsm.clear_session_meta
        clears = when == "every_attempt" or (when == "every_turn" and state.attempt == 1)
        state.phase = "clear" if clears else "prepare"

    def _after_failure(self, *, violation: bool = False, rejected: bool = False) -> None:
        """Another attempt, if the config and the budgets allow one."""
        state = self._state
        self._drop_calls()
        if attempts.may_retry(state, violation=violation):
            self._enter_attempt()
        elif rejected:
            attempts.out_of_steps(state, self._engine)
        else:
            attempts.give_up(state, self._engine)

    def _drop_calls(self) -> None:
        """What a failed attempt still wanted is void."""
        self._state.questions = []
        for one in self._state.calls:
            if one.stage != "done":
                one.stage = "done"

    def _upstream_failed(self, question: Pending) -> None:
        code, message = question.failed or ("upstream_error", "the model did not answer")
        late = code in {"timeout", "upstream_timeout"}
        self._give_up("timeout" if late else "upstream_error", message)

    def _give_up(self, code: ErrorCode, message: str) -> None:
        self._state.questions = []
        attempts.fail_turn(self._state, code, message, self._engine)

    # Small things

    def _last_program(self) -> str | None:
        steps = reversed(self._state.steps)
        return next((step.program for step in steps if step.program is not None), None)

    def _answer(self) -> Answer:
        state = self._state
        ending = state.ending
        common: dict[str, Any] = {
            "program": self._last_program(),
            "history": tuple(unpack(entry) for entry in state.history),
            "denied": state.denied,
            "session_labels": state.session_labels,
            "history_mismatch": state.input.history_mismatch,
            "namespace": {} if ending is None else _answer_values(ending.namespace),
        }
        if ending is None or ending.value is None:
            code, text = ("planner_error", "") if ending is None else (ending.code, ending.message)
            error = TurnError(code=code or "planner_error", message=text)
            return Answer(error=error, derived=True, **common)
        return Answer(
            value=_answer_value(ending.value),
            derived=ending.derived,
            **common,
        )

    def _stopped(self, numbers: list[int]) -> None:
        """Remembers what a request's results led to."""
        state = self._state
        last = state.stops[-1] if state.stops else None
        if last is not None and last.calls == numbers and not state.consumed:
            return
        state.stops = [*state.stops, StopState(consumed=state.consumed, calls=numbers)]
        state.consumed = []
        calls.forget(state)

    def _offered(self) -> tuple[Bound, ...]:
        chosen = self._state.selected
        if chosen is None:
            return self._tools
        return tuple(tool for tool in self._tools if tool.spec.name in chosen)

    def _out(self) -> list[CallState]:
        """The calls that are the client's turn."""
        waiting = [one for one in self._state.calls if one.stage == "out"]
        return waiting if self._state.input.parallel_tool_calls else waiting[:1]

    def _kept(self) -> Engine | None:
        """The interpreter whose variables the next program goes on with."""
        given = self._state.input
        steps = given.config.fsm.enable_multistep_planning and given.user_program is None
        return self._engine if steps else None

    def _running(self) -> Engine:
        if self._engine is None:
            raise ValueError("no program is running")
        return self._engine

    def _question(self, no: int) -> Pending | None:
        return next((one for one in self._state.questions if one.no == no), None)

    def _deciding(self, no: int) -> CallState | None:
        found = (one for one in self._state.calls if one.no == no and one.stage == "decide")
        return next(found, None)

    def _note(self, entry: Mapping[str, Any] | None) -> None:
        if entry is not None:
            self._state.history.append(pack(dict(entry)))

    def _number(self) -> int:
        self._state.numbers += 1
        return self._state.numbers


def _asked(one: Pending) -> Question:
    return Question(
        no=one.no,
        role=one.role,
        system=one.system,
        messages=tuple(Turned(role=role, text=text) for role, text in one.messages),
        schema=None if one.schema is None else unpack(one.schema),
        model=one.model,
        again=one.again,
    )


def _answer_values(named: Mapping[str, ValueState]) -> dict[str, AnswerValue]:
    return {name: _answer_value(one) for name, one in named.items()}


def _answer_value(one: ValueState) -> AnswerValue:
    return AnswerValue(value=unpack(one.value), labels=one.labels, value_type=one.value_type)
