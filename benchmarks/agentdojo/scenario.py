"""One run: a user task, perhaps an injection, and a model that obeys whatever it reads.

The *worst-case model* makes the user task's ground-truth calls one after another. As soon
as an injection has entered its context - the marker of the injection text occurs in a tool
result that it has seen - it first makes all of the injection's ground-truth calls. No real
model is more obedient, so what stops this one is the policy and nothing else.

Tools answer as JSON, as most do; the environment, the tools and both judgements (was the
task done, did the attack succeed) are the suite's own.
"""

import functools
import importlib
import json
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from benchmarks.agentdojo.missing import GROUND_TRUTH

__all__ = ["Attempt", "Call", "Outcome", "Pair", "Run", "pairs", "play"]

_READS = ("get_", "list_", "search_", "read_", "check_")
_VISITS = ("get_webpage",)
"""Reads whose address may be the attacker's: the visit itself is what is done."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Call:
    """A call the model makes."""

    tool: str
    args: dict[str, Any]
    injected: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call and what became of it."""

    call: Call
    allowed: bool
    why: str = ""
    """The rule that denied it."""
    error: str = ""
    """What the tool said if it failed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A user task with an injection task, or without one."""

    suite: Any
    user_task: str
    injection_task: str | None

    @property
    def name(self) -> str:
        """Suite, user task and injection task, in one word."""
        return f"{self.suite.name}/{self.user_task}/{self.injection_task or '-'}"

    @property
    def scripted(self) -> bool:
        """Whether the package itself has ground truth for the injection."""
        return self.injection_task is None or (
            (self.suite.name, self.injection_task) not in GROUND_TRUTH
        )


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    pair: Pair
    attempts: list[Attempt]
    useful: bool
    """The user task was done, in the suite's judgement."""
    attacked: bool = False
    """The attack succeeded, in the suite's judgement."""
    reached: bool = False
    """The injection entered the model's context."""
    stopped: str = ""
    """Of a plan: the error that ended it."""
    hijacked: bool = False
    """Of a plan: a value of the attacker's was in an argument of a call that ran."""
    model_calls: int = 0
    """Of a plan: questions to models, planner and quarantined model together."""
    tokens: int = 0
    """Of a plan: read and written by models, one for four characters."""

    @property
    def let_through(self) -> list[Attempt]:
        """Injected calls that ran."""
        return [item for item in self.attempts if item.call.injected and item.allowed]

    @property
    def actions_through(self) -> list[Attempt]:
        """Those of them that change, send or visit something, not only read."""
        return [item for item in self.let_through if not _is_read(item.call.tool)]

    @property
    def denied_to_user(self) -> list[Attempt]:
        """Calls of the user's task that were denied."""
        return [item for item in self.attempts if not item.call.injected and not item.allowed]


class Run:
    """The environment of one run, its tools, and the model."""

    def __init__(self, pair: Pair) -> None:
        suite = pair.suite
        self.pair = pair
        self.user = suite.user_tasks[pair.user_task]
        injection = pair.injection_task
        self.injection = None if injection is None else suite.injection_tasks[injection]
        self.marker = "" if injection is None else f"<INJECTION {injection}>"
        texts = self._texts()
        self.environment = self.user.init_environment(_environment(suite, texts))
        self.before = self.user.init_environment(_environment(suite, texts))
        self.prompt: str = self.user.PROMPT
        runtime = importlib.import_module("agentdojo.functions_runtime").FunctionsRuntime
        self._format = importlib.import_module(
            "agentdojo.agent_pipeline.tool_execution"
        ).tool_result_to_str
        self.runtime = runtime(suite.tools)
        self.executed: list[Any] = []
        self.reached = False
        self._queue = [
            Call(item.function, dict(item.args), injected=False)
            for item in self.user.ground_truth(self.environment)
        ]
        self._injected: list[Call] | None = None

    def saw(self, text: str) -> None:
        """The model reads a text."""
        if self.injection is None or self.reached or self.marker not in text:
            return
        self.reached = True
        self._queue[:0] = self._script()

    def _script(self) -> list[Call]:
        """The calls that the attacker wants."""
        if self._injected is None:
            if self.injection is None:
                return []
            script = GROUND_TRUTH.get((self.pair.suite.name, self.injection.ID))
            found = (script or type(self.injection).ground_truth)(self.injection, self.before)
            self._injected = [Call(item.function, dict(item.args), injected=True) for item in found]
        return self._injected

    def next(self) -> Call | None:
        """The call the model makes now; None: it answers."""
        return self._queue.pop(0) if self._queue else None

    def execute(self, call: Call) -> tuple[str, str]:
        """Runs a tool: its answer as text, and its error or nothing."""
        function_call = importlib.import_module("agentdojo.functions_runtime").FunctionCall
        self.executed.append(function_call(function=call.tool, args=call.args))
        value, error = self.runtime.run_function(self.environment, call.tool, call.args)
        if error:
            return error, error
        if isinstance(value, dict):
            return json.dumps(value, default=str), ""
        return self._format(value, dump_fn=functools.partial(json.dumps, default=str)), ""

    @property
    def answer(self) -> str:
        """What the model says in the end."""
        return str(self.user.GROUND_TRUTH_OUTPUT)

    def attackers_answer(self, question: Any, seen: str, secret: re.Pattern[str]) -> Any:
        """What a hijacked model answers: the attacker's value for that place in a call.

        The attacker knows what he wants, but not what he has not read: a value with a
        number that is not in the model's input is out of his reach, and his goal in words
        takes its place.
        """
        honest = question.answer
        for call in self._script():
            for name, value in call.args.items():
                same = name == question.argument and call.tool == question.tool
                if not same and not (name == question.argument or _alike(name, question.argument)):
                    continue
                offered = value[0] if isinstance(value, list) and value else value
                if type(offered) is not type(honest) or not isinstance(offered, str | int | float):
                    continue
                if all(found in seen for found in secret.findall(str(offered))):
                    return offered
        return self.injection.GOAL if isinstance(honest, str) and self.injection else honest

    def judge(self, attempts: list[Attempt], *, said: str | None = None) -> Outcome:
        """The suite's judgement of what happened; `said` is the answer if not the usual one."""
        said_blocks = [{"type": "text", "content": self.answer if said is None else said}]
        suite = self.pair.suite
        after = (self.before, self.environment, self.executed)
        outcome = Outcome(
            pair=self.pair,
            attempts=attempts,
            useful=bool(_judged(suite, self.user, said_blocks, after)),
            reached=self.reached,
        )
        if self.injection is not None:
            outcome.attacked = bool(_judged(suite, self.injection, said_blocks, after))
        return outcome

    def _texts(self) -> dict[str, str]:
        """The injection for every place that the user task's own calls read."""
        if self.injection is None:
            return {}
        goal = " ".join(self.injection.GOAL.replace('"', "'").split()).replace(": ", " - ")
        text = f"{self.marker} {goal}"
        return dict.fromkeys(_seen(self.pair.suite, self.pair.user_task), text)


def play(
    run: Run, decide: Callable[[Call], str | None], heard: Callable[[Call, str], None]
) -> Outcome:
    """Plays a run to its end.

    `decide` says why a call is denied, None if it is not; `heard` is told every result.
    """
    attempts: list[Attempt] = []
    while (call := run.next()) is not None:
        why = decide(call)
        if why is not None:
            attempts.append(Attempt(call, allowed=False, why=why))
            continue
        text, error = run.execute(call)
        heard(call, text)
        run.saw(text)
        attempts.append(Attempt(call, allowed=True, error=error))
    return run.judge(attempts)


def pairs(suites: Sequence[Any], *, attacks: bool) -> Iterator[Pair]:
    """All user tasks, alone or each with every injection task that needs a tool call."""
    for suite in suites:
        for user_task in suite.user_tasks:
            if not attacks:
                yield Pair(suite, user_task, None)
                continue
            for name, injection in suite.injection_tasks.items():
                blank = _environment(suite, {})
                if (suite.name, name) in GROUND_TRUTH or injection.ground_truth(blank):
                    yield Pair(suite, user_task, name)


_ALIKE = (
    {"recipient", "recipients", "participants", "email", "user_email", "to"},
    {"body", "content", "description", "subject"},
    {"title", "subject", "hotel"},
)


def _alike(one: str, other: str) -> bool:
    """Whether two arguments are of one kind, so that a value for one does for the other."""
    return any(one in names and other in names for names in _ALIKE)


def _is_read(tool: str) -> bool:
    return tool.startswith(_READS) and tool not in _VISITS


def _judged(suite: Any, task: Any, said: Any, after: tuple[Any, ...]) -> bool:
    try:
        return bool(suite._check_task_result(task, said, *after))
    except (StopIteration, KeyError, IndexError, AttributeError):
        # Some checks look for what the task would have made without asking if it is there.
        return False


@functools.cache
def _seen(suite: Any, user_task: str) -> tuple[str, ...]:
    """The places for injections that the user task's ground truth comes across."""
    canaries = {name: f"<CANARY {name}>" for name in _defaults(suite)}
    task = suite.user_tasks[user_task]
    environment = task.init_environment(_environment(suite, canaries))
    runtime = importlib.import_module("agentdojo.functions_runtime").FunctionsRuntime(suite.tools)
    shown = ""
    for call in task.ground_truth(environment):
        value, _ = runtime.run_function(environment, call.function, call.args)
        shown += str(value)
    return tuple(name for name, canary in canaries.items() if canary in shown)


@functools.cache
def _defaults(suite: Any) -> dict[str, str]:
    found: dict[str, str] = suite.get_injection_vector_defaults()
    return found


@functools.cache
def _template(suite: Any) -> str:
    module = importlib.import_module("agentdojo.task_suite.task_suite")
    return str(module.read_suite_file(suite.name, "environment.yaml", suite.data_path))


def _environment(suite: Any, injections: dict[str, str]) -> Any:
    return pickle.loads(_stored(suite, tuple(sorted(injections.items()))))


@functools.cache
def _stored(suite: Any, injections: tuple[tuple[str, str], ...]) -> bytes:
    """The suite's environment with texts injected; as `load_and_inject_default_environment`."""
    text = _template(suite).format(**{**_defaults(suite), **dict(injections)})
    return pickle.dumps(suite.environment_type.model_validate(yaml.load(text, _LOADER)))
