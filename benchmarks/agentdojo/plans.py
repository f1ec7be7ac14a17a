"""Each user task as a plan: a program whose arguments come from the request or from results.

A *planner oracle* knows which calls the task needs (the ground truth) and writes them as a
program, from the request alone. What the request says, or the planner words itself, stands in
the program. Everything else is taken from results while the program runs: a value that is a
field of a record by picking that field, any other by asking the quarantined model about
just the results that hold it. Plans in which code must decide - the largest file, whether an
hour is free - are written by hand (`written`).
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.agentdojo.scenario import Pair, Run
from benchmarks.agentdojo.written import WRITTEN

__all__ = ["Plan", "Question", "parsed", "plan_of"]

_PIECE = 5
"""Characters of a piece of a result that gives a text away as made from it."""
_SHORT = 4
"""Shorter values are said only as words of their own: `5` is not in `2024-05-20`."""
_WORDED = frozenset({"body", "content", "description"})
"""Arguments whose text tells of what was read, even if no piece of it can be found there."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the program asks the quarantined model for."""

    answer: Any
    """What an honest model says."""
    tool: str
    """The tool whose argument it becomes; empty: the final answer."""
    argument: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A program, and what its questions are about."""

    source: str
    questions: dict[str, Question]
    """By the question's text."""
    by_hand: bool


@functools.cache
def plan_of(suite: Any, user_task: str) -> Plan:
    """The plan of a user task; the same whatever the results will hold."""
    run = Run(Pair(suite, user_task, None))
    name = f"{suite.name}/{user_task}"
    if name in WRITTEN:
        return Plan(WRITTEN[name], {_ANSWER: Question(run.answer, "", "")}, by_hand=True)
    return _Writer(run).plan()


def parsed(text: str) -> Any:
    """A tool's answer as the program gets it: JSON if it is JSON, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_ANSWER = "Answer the user's request."


class _Writer:
    """Writes one plan while the ground truth is played without an injection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._said = " ".join(run.prompt.casefold().split())
        self._results: list[Any] = []
        self._lines: list[str] = []
        self._questions: dict[str, Question] = {}
        self._numbered = 0

    def plan(self) -> Plan:
        while (call := self._run.next()) is not None:
            args = ", ".join(
                f"{name}={self._value(value, call.tool, name)}" for name, value in call.args.items()
            )
            text, _ = self._run.execute(call)
            self._lines.append(f"r{len(self._results)} = {call.tool}({args})")
            self._results.append(parsed(text))
        seen = range(len(self._results))
        self._questions[_ANSWER] = Question(self._run.answer, "", "")
        self._lines.append(f"final_return_value = {_asking(_ANSWER, seen, 'string')}")
        source = "\n".join(["import json", *self._lines])
        return Plan(source + "\n", self._questions, by_hand=False)

    def _value(self, value: Any, tool: str, name: str) -> str:
        """An expression for an argument, or for a part of one."""
        if value is None or isinstance(value, bool) or value in ("", [], {}):
            return repr(value)
        if isinstance(value, list):
            return "[" + ", ".join(self._value(item, tool, name) for item in value) + "]"
        if isinstance(value, dict):
            parts = (f"{key!r}: {self._value(item, tool, key)}" for key, item in value.items())
            return "{" + ", ".join(parts) + "}"
        if self._is_said(value) or not self._results:
            return repr(value)
        for number, result in enumerate(self._results):
            for path, held in _fields(result):
                if held == value and type(held) is type(value) and path:
                    return f"r{number}" + "".join(f"[{step!r}]" for step in path)
        about = [number for number, result in enumerate(self._results) if _tells(result, value)]
        if not about:
            if isinstance(value, str) and name not in _WORDED:
                return repr(value)
            about = list(range(len(self._results)))
        self._numbered += 1
        question = f"Question {self._numbered}: what is `{name}` for `{tool}`?"
        self._questions[question] = Question(value, tool, name)
        kind = "string" if isinstance(value, str) else "number"
        return _asking(question, about, kind)

    def _is_said(self, value: Any) -> bool:
        """Whether a planner has it from the request: said there, or a date and time in ISO."""
        text = " ".join(str(value).casefold().split())
        words = {word.strip("'\".,!?()") for word in self._said.split()}
        if text in (words if len(text) < _SHORT else self._said):
            return True
        if isinstance(value, str) and len(value) >= 10 and value[4:5] == value[7:8] == "-":
            return True
        return isinstance(value, str) and all(
            word.strip("'\".,!") in words for word in text.split()
        )


def _asking(question: str, about: Sequence[int] | range, kind: str) -> str:
    data = ", ".join(f"r{number}" for number in about)
    value = f'{{"value": {{"type": "{kind}"}}}}'
    schema = f'{{"type": "object", "properties": {value}, "required": ["value"]}}'
    query = f'"{question}\\n" + json.dumps([{data}])'
    return f'parse_with_ai(query={query}, output_schema={schema})["value"]'


def _fields(result: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(result, dict):
        for key, item in result.items():
            yield from _fields(item, (*path, key))
    elif isinstance(result, list):
        for number, item in enumerate(result):
            yield from _fields(item, (*path, number))
    else:
        yield path, result


def _tells(result: Any, value: Any) -> bool:
    """Whether a value, or a piece of it, stands in a result."""
    wanted = str(value).casefold()
    whole = json.dumps(result, default=str, ensure_ascii=False).casefold()
    if len(wanted) > 1 and wanted in whole:
        return True
    for _, held in _fields(result):
        for piece in str(held).casefold().splitlines():
            for part in piece.split(": "):
                if len(part.strip()) >= _PIECE and part.strip() in wanted:
                    return True
    return False
