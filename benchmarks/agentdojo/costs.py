"""What dual-llm costs over single-llm in model calls and tokens, on the same tasks.

Single-llm: a model that is asked once for every tool call and once for the answer, each time
with the tools and everything so far. Dual-llm: the planner once, and the quarantined model as
often as the plan asks it. A token is four characters, as the demo model counts. Both without
prompt caching, and without an attack.
"""

import json
from typing import Any

from benchmarks.agentdojo.indual import play_plan
from benchmarks.agentdojo.inprocess import compiled
from benchmarks.agentdojo.overhttp import offered_tools
from benchmarks.agentdojo.scenario import Run, pairs

__all__ = ["costs"]

_CHARS_PER_TOKEN = 4


def costs(suites: list[Any]) -> dict[str, Any]:
    """Per suite: model calls and tokens of all its tasks, either way."""
    policy = compiled("", mode="strict")
    found: dict[str, Any] = {}
    for suite in suites:
        calls, characters, planned, tokens = 0, 0, 0, 0
        for pair in pairs([suite], attacks=False):
            run = Run(pair)
            one_calls, one_characters = _single(run)
            calls, characters = calls + one_calls, characters + one_characters
            outcome = play_plan(pair, policy, strict=True)
            planned, tokens = planned + outcome.model_calls, tokens + outcome.tokens
        found[suite.name] = {
            "single_calls": calls,
            "single_tokens": characters // _CHARS_PER_TOKEN,
            "dual_calls": planned,
            "dual_tokens": tokens,
        }
    return found


def _single(run: Run) -> tuple[int, int]:
    """Model calls and characters of a task in single-llm."""
    context = len(json.dumps(offered_tools(run.pair.suite))) + len(run.prompt)
    calls, characters = 0, 0
    while (call := run.next()) is not None:
        said = len(json.dumps({"name": call.tool, "arguments": call.args}))
        calls, characters = calls + 1, characters + context + said
        text, _ = run.execute(call)
        context += said + len(text)
    return calls + 1, characters + context + len(run.answer)
