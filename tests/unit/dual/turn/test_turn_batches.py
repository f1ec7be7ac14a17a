"""Several calls at once: decided in order, answered in any order, in part, or twice.

The interpreter asks for one call at a time; a stand-in asks for as many as the test wants.
"""

from typing import Any

import pytest
from tests.support.turns import Denied, Play, config, fenced, given, tool

from interlock.dual.marks import MarkTable
from interlock.dual.program import ToolSig
from interlock.dual.turn import Decide, Final, Label, Suspend, phases
from interlock.dual.turn.engine import Calls, Ended, Wanted
from interlock.dual.turn.state import ValueState, pack
from interlock.policy.model import DEFAULT_LABELS


class Batches:
    """Asks for its batches of calls of `get` one after the other; the end is all results."""

    batches: tuple[tuple[str, ...], ...] = (("a", "b", "c"),)

    def __init__(self) -> None:
        self.marks = MarkTable()
        self.given: dict[int, Any] = {}
        self.asked: list[int] = []
        self.left = list(self.batches)

    @classmethod
    def check(cls, *_: object) -> None:
        """Everything compiles."""

    @classmethod
    def begin(cls, *_: object) -> "Batches":
        return cls()

    def run(self) -> Calls | Ended:
        assert set(self.given) == set(self.asked), "not all results are there"
        if not self.left:
            text = pack([self.given[no] for no in self.asked])
            value = ValueState(value=text, labels=DEFAULT_LABELS, value_type="list")
            return Ended(value=value, derived=True, has_final=True, in_progress=False)
        wanted = []
        for argument in self.left.pop(0):
            self.asked.append(len(self.asked) + 1)
            wanted.append(
                Wanted(
                    no=self.asked[-1],
                    sig=ToolSig(name="get", tool="get", params=("id",)),
                    args={"id": argument},
                    labels={},
                    control=DEFAULT_LABELS,
                    line=1,
                    derived=False,
                    lineage={},
                )
            )
        return Calls(requests=tuple(wanted))

    def give(self, no: int, data: Any, _labels: object, *, wrap: object = None) -> None:
        assert no not in self.given, "given twice"
        assert wrap is None
        self.given[no] = data

    def refuse(self, no: int, _type: str, message: str, _labels: object) -> None:
        assert no not in self.given, "given twice"
        self.given[no] = f"error {message}"


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "Engine", Batches)
    monkeypatch.setattr(Batches, "batches", (("a", "b", "c"),))


def play(**more: Any) -> Play:
    settings = config(**more.pop("fsm", {}))
    start = given("Go.", tool("get", "id"), config=settings, **more.pop("start", {}))
    return Play(
        start,
        {"pllm": [fenced("x")]},
        {"get": lambda **args: f"<{args['id']}>"},
        reload=False,
        **more,
    )


def test_calls_of_a_batch_are_decided_and_handed_out_together() -> None:
    one = play()
    command = one.until_suspended()

    assert isinstance(command, Suspend)
    assert [call.args["id"] for call in command.calls] == ["a", "b", "c"]
    [decide] = [step for step in one.commands if isinstance(step, Decide)]
    assert [call.no for call in decide.calls] == [call.no for call in command.calls]


def test_one_call_at_a_time_is_handed_out_when_that_is_wanted() -> None:
    one = play(start={"parallel_tool_calls": False})
    answer = one.run()

    assert answer.value is not None
    assert answer.value.value == ["<a>", "<b>", "<c>"]
    assert [len(step.calls) for step in one.commands if isinstance(step, Suspend)] == [1, 1, 1]
    assert one.turn.outstanding() == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_results_come_in_any_order(order: tuple[int, ...]) -> None:
    one = play()
    command = one.until_suspended()
    assert isinstance(command, Suspend)
    for index in order:
        call = command.calls[index]
        assert one.turn.result(call.no, f"<{call.args['id']}>") == "accepted"

    answer = one.run()

    assert answer.value is not None
    assert answer.value.value == ["<a>", "<b>", "<c>"]


def test_missing_results_are_asked_for_again() -> None:
    one = play()
    command = one.until_suspended()
    assert isinstance(command, Suspend)
    first, second, third = command.calls
    one.turn.result(second.no, "<b>")

    assert [call.no for call in one.turn.outstanding()] == [first.no, third.no]
    rest = one.until_suspended()

    assert rest == Suspend(calls=(first, third))
    assert one.turn.answer_to([second.no]) == rest
    assert one.turn.result(second.no, "other") == "repeated"
    one.turn.result(third.no, "<c>")
    one.turn.result(first.no, "<a>")
    answer = one.run()
    assert answer.value is not None
    assert answer.value.value == ["<a>", "<b>", "<c>"]
    assert len([step for step in one.commands if isinstance(step, Label)]) == 3


def test_a_denied_call_takes_its_whole_batch_along() -> None:
    one = play(decide=lambda call: Denied("no") if call.args["id"] == "b" else None)
    answer = one.run()

    assert answer.error is not None
    assert answer.error.message == "no"
    assert one.sent == []
    assert [entry["tool"] for entry in answer.history] == ["get", "get"]


def test_failed_and_good_results_mix() -> None:
    one = play()
    one.tools = {"get": lambda **args: (f"<{args['id']}>", args["id"] == "b")}
    answer = one.run()

    assert answer.value is not None
    assert answer.value.value == ["<a>", "error <b>", "<c>"]


def test_a_batch_counts_whole_against_the_budget() -> None:
    one = play(fsm={"max_tool_calls_per_step": 2, "max_pllm_steps": 1})
    answer = one.run()

    assert answer.error is not None
    assert answer.error.code == "max_tool_calls_exceeded"
    assert one.sent == []


def test_every_request_of_a_turn_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batches, "batches", (("a", "b"), ("c",)))
    one = play()
    first = one.until_suspended()
    assert isinstance(first, Suspend)
    for call in first.calls:
        one.turn.result(call.no, "x")
    second = one.until_suspended()
    assert isinstance(second, Suspend)
    one.turn.result(second.calls[0].no, "y")
    last = one.until_suspended()

    numbers = [call.no for call in first.calls]
    assert one.turn.answer_to(numbers) == second
    assert one.turn.answer_to(numbers[:1]) == second
    assert one.turn.answer_to([second.calls[0].no]) == last
    assert isinstance(last, Final)
    # The whole history sent again answers as its newest results did.
    assert one.turn.answer_to([*numbers, second.calls[0].no]) == last
