"""Events and objects of Responses that are written, not relayed."""

from collections.abc import Iterator
from typing import Any

__all__ = ["ENDS", "OPENINGS", "TYPED", "empty_response", "said_events"]

Tree = dict[str, Any]

OPENINGS = frozenset({"response.created", "response.in_progress", "response.queued"})
ENDS = frozenset({"response.completed", "response.failed", "response.incomplete"})
TYPED = frozenset(
    {
        *OPENINGS,
        *ENDS,
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
    }
) - {"response.queued"}
"""The only events the typed client can read (8.5)."""


def empty_response(response_id: str, model: str) -> Tree:
    """What a response object must have at least (8.3)."""
    tree: Tree = {"id": response_id, "object": "response", "created_at": 0}
    tree |= {"status": "completed", "model": model, "output": []}
    return tree | {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None}


def said_events(item: Tree, text: str, place: int) -> Iterator[tuple[str, Tree]]:
    """All events (type, members) of the output message `item`, which says `text`, at `place`."""
    part = item["content"][0]
    at: Tree = {"output_index": place}
    inside: Tree = {"item_id": item["id"], **at, "content_index": 0}
    began = {**item, "status": "in_progress", "content": []}
    for kind, members in (
        ("response.output_item.added", {**at, "item": began}),
        ("response.content_part.added", {**inside, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**inside, "delta": text, "logprobs": []}),
        ("response.output_text.done", {**inside, "text": text, "logprobs": []}),
        ("response.content_part.done", {**inside, "part": part}),
        ("response.output_item.done", {**at, "item": item}),
    ):
        yield kind, {"type": kind, **members}
