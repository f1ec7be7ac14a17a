"""Who answers: the rules of a group, one by one."""

import pytest

from interlock.conversations.answering import Answerers, Parent, who_answers
from interlock.conversations.model import AssistantMode

SELF, OTHER, NONE = Parent(kind="self"), Parent(kind="other"), Parent(kind="none")
BOT = Parent(kind="agent", agent_id="bot")


def _answer(
    mode: AssistantMode,
    agents: tuple[str, ...] = (),
    people: bool = False,
    parent: Parent = NONE,
    default: str | None = "default",
) -> tuple[str, ...]:
    return who_answers(
        mode, agents=agents, people=people, parent=parent, default=default, limit=4
    ).agents


@pytest.mark.parametrize("parent", [SELF, OTHER, NONE, BOT])
@pytest.mark.parametrize("people", [False, True])
def test_in_auto_mentioned_agents_answer_and_nobody_else(parent: Parent, people: bool) -> None:
    assert _answer("auto", ("a", "b"), people, parent) == ("a", "b")


@pytest.mark.parametrize("parent", [SELF, OTHER, NONE, BOT])
def test_in_auto_a_message_to_people_is_not_answered(parent: Parent) -> None:
    assert _answer("auto", people=True, parent=parent) == ()


def test_in_auto_a_reply_to_an_agent_is_answered_by_that_agent() -> None:
    assert _answer("auto", parent=BOT) == ("bot",)


def test_in_auto_a_reply_to_another_person_is_not_answered() -> None:
    assert _answer("auto", parent=OTHER) == ()


@pytest.mark.parametrize("parent", [SELF, NONE])
def test_in_auto_a_new_thread_or_ones_own_goes_to_the_default_agent(parent: Parent) -> None:
    assert _answer("auto", parent=parent) == ("default",)


@pytest.mark.parametrize("parent", [SELF, OTHER, NONE, BOT])
def test_in_always_every_message_is_answered(parent: Parent) -> None:
    assert _answer("always", parent=parent) == ("default",)
    assert _answer("always", people=True, parent=parent) == ("default",)
    assert _answer("always", ("a",), parent=parent) == ("a",)


@pytest.mark.parametrize("parent", [SELF, OTHER, NONE, BOT])
def test_in_mention_only_mentioned_agents_answer(parent: Parent) -> None:
    assert _answer("mention", parent=parent) == ()
    assert _answer("mention", ("a",), True, parent) == ("a",)


def test_in_off_nobody_answers() -> None:
    assert _answer("off", ("a",), parent=BOT) == ()


def test_a_conversation_without_an_agent_is_silent() -> None:
    assert _answer("always", default=None) == ()
    assert _answer("auto", default=None) == ()


def test_agents_above_the_limit_are_named_as_left_out() -> None:
    answer = who_answers("auto", agents=("a", "b", "a", "c"), default=None, limit=2)

    assert answer == Answerers(agents=("a", "b"), left_out=("c",))
