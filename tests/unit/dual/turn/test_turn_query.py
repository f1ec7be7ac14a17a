"""What of the conversation the planner is told (gateway.md 6.2)."""

from dataclasses import replace

import pytest

from interlock.dual.turn.config import PlannerPrompt
from interlock.dual.turn.model import Called, Message
from interlock.dual.turn.query import earlier, request_of

CONVERSATION = (
    Message(role="system", text="SYS\nCALL x {}"),
    Message(role="developer", text="DEV"),
    Message(role="user", text="first"),
    Message(
        role="assistant",
        calls=(
            Called(id="1", tool="get", arguments='{"id": "CLEAN"}'),
            Called(id="2", tool="put", arguments='{"id": "DIRTY"}', derived=True),
        ),
    ),
    Message(role="tool", call_id="1", text="RESULT", derived=True),
    Message(role="assistant", text="TAINTED", derived=True),
    Message(role="assistant", text="OWN"),
    Message(role="user", text="newest"),
)


def shown(**changes: object) -> str:
    return earlier(CONVERSATION, replace(PlannerPrompt(), **changes))  # type: ignore[arg-type]


def test_the_request_is_the_newest_user_message() -> None:
    assert request_of(CONVERSATION) == "newest"
    assert request_of(()) == ""


def test_the_default_shows_everything_but_data() -> None:
    assert shown() == (
        "[system]\n> SYS\n> CALL x {}\n[developer]\n> DEV\n[user]\n> first\n"
        "[assistant called] get\n[assistant called] put\n"
        "[assistant]\n> [not shown: it may hold untrusted data]\n[assistant]\n> OWN"
    )


@pytest.mark.parametrize(
    ("changes", "there", "not_there"),
    [
        ({"query_inline_roles": frozenset()}, ["first", "get"], ["SYS", "DEV", "OWN"]),
        ({"query_inline_roles": frozenset({"system"})}, ["SYS"], ["DEV", "OWN", "RESULT"]),
        ({"query_include_tool_calls": False}, ["OWN"], ["get", "put"]),
        ({"query_include_tool_args": True}, ["CLEAN"], ["DIRTY", "RESULT", "TAINTED"]),
        # Naming the role is not enough to show results.
        ({"query_inline_roles": frozenset({"tool"})}, [], ["RESULT"]),
        ({"query_include_tool_results": True}, ["TAINTED"], ["RESULT"]),
        (
            {
                "query_include_tool_results": True,
                "query_include_tool_args": True,
                "query_inline_roles": frozenset({"tool", "assistant"}),
            },
            ["RESULT", "TAINTED", "DIRTY"],
            ["SYS"],
        ),
        ({"query_role_name_overrides": {"developer": "boss"}}, ["[boss]\n> DEV"], ["[developer]"]),
    ],
)
def test_each_key_shows_or_hides(
    changes: dict[str, object], there: list[str], not_there: list[str]
) -> None:
    text = shown(**changes)

    assert [one for one in there if one not in text] == []
    assert [one for one in not_there if one in text] == []
