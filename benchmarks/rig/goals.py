"""The goals, each a bound on one figure of a run, and whether it was hit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.rig.gateways.registry import OURS
from benchmarks.rig.ratios import added_ttft_ms, cpu_ms, rps_ratio
from benchmarks.rig.results import Results

__all__ = ["GOALS", "Goal", "Outcome", "judge"]

NO_GROWTH_BYTES = 32.0
"""Bytes per request that count as none: allocator noise of a few MiB over a whole soak."""
FLAT = 1.5
"""A decision over ten times the rules may take this many times as long and count as flat."""
CONCURRENCY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`value` gives the figure, or None where the run did not measure it."""

    group: str
    text: str
    bound: float
    unit: str
    sense: Literal["at most", "at least"]
    value: Callable[[Results], float | None]
    needs_policy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    goal: Goal
    value: float | None
    state: Literal["hit", "missed", "not measured", "void"]


def judge(results: Results) -> Iterator[Outcome]:
    """Every goal with its figure. Void: measured, but the policy was not in force."""
    for goal in GOALS:
        value = goal.value(results)
        if value is None:
            yield Outcome(goal=goal, value=None, state="not measured")
        elif goal.needs_policy and results.policy_problem:
            yield Outcome(goal=goal, value=value, state="void")
        else:
            hit = value <= goal.bound if goal.sense == "at most" else value >= goal.bound
            yield Outcome(goal=goal, value=value, state="hit" if hit else "missed")


def _against(peer: str, workload: str) -> Callable[[Results], float | None]:
    return lambda results: rps_ratio(results, OURS, peer, workload, CONCURRENCY)


def _ratio_goal(group: str, peer: str, title: str, bound: float, workload: str) -> Goal:
    return Goal(
        group=group,
        text=f"requests/s against {title}",
        bound=bound,
        unit="x",
        sense="at least",
        value=_against(peer, workload),
    )


def _ttft(concurrency: int) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        added = added_ttft_ms(results, OURS, concurrency)
        return added[0] if added else None

    return value


def _per_stream(results: Results) -> float | None:
    return next((run.per_stream_kib for run in results.memory if run.row == OURS), None)


def _idle_mb(results: Results) -> float | None:
    row = results.row(OURS)
    return row.idle_rss_kib * 1024 / 1e6 if row and row.idle_rss_kib else None


def _soak_growth(results: Results) -> float | None:
    soak = results.soak
    if soak is None or soak.requests < soak.wanted:
        return None
    return soak.growth_bytes_per_request


def _engine(name: str) -> Callable[[Results], float | None]:
    return lambda results: getattr(results.policy_engine, name, None)


_JSON = "JSON pass-through, everything on"
_STREAM = "streaming pass-through, policy on"
_TRANSLATED = "translated"
_POLICY = "policy engine"
_PROCESS = "process"

GOALS: tuple[Goal, ...] = (
    Goal(
        group=_JSON,
        text="CPU per request",
        bound=0.2,
        unit="ms",
        sense="at most",
        value=lambda results: cpu_ms(results, OURS, "json", CONCURRENCY),
    ),
    _ratio_goal(_JSON, "litellm", "LiteLLM", 100, "json"),
    _ratio_goal(_JSON, "portkey", "Portkey", 15, "json"),
    _ratio_goal(_JSON, "tensorzero", "TensorZero", 1.5, "json"),
    _ratio_goal(_JSON, "envoy", "Envoy", 0.5, "json"),
    _ratio_goal(_STREAM, "tensorzero", "TensorZero", 3, "stream"),
    _ratio_goal(_STREAM, "envoy", "Envoy", 0.6, "stream"),
    Goal(
        group=_STREAM,
        text="added time to the first event, one stream",
        bound=1.0,
        unit="ms",
        sense="at most",
        value=_ttft(1),
    ),
    Goal(
        group=_STREAM,
        text=f"added time to the first event, {CONCURRENCY} streams",
        bound=1.0,
        unit="ms",
        sense="at most",
        value=_ttft(CONCURRENCY),
    ),
    Goal(
        group=_STREAM,
        text="memory per open stream",
        bound=64.0,
        unit="KiB",
        sense="at most",
        value=_per_stream,
    ),
    _ratio_goal(_TRANSLATED, "litellm", "LiteLLM doing the same, JSON", 30, "translated-json"),
    _ratio_goal(
        _TRANSLATED, "litellm", "LiteLLM doing the same, streaming", 30, "translated-stream"
    ),
    Goal(
        group=_POLICY,
        text="median decision, 50 rules",
        bound=20.0,
        unit="us",
        sense="at most",
        value=_engine("decision_us"),
        needs_policy=False,
    ),
    Goal(
        group=_POLICY,
        text="compilation, 50 rules",
        bound=20.0,
        unit="ms",
        sense="at most",
        value=_engine("compile_ms"),
        needs_policy=False,
    ),
    Goal(
        group=_POLICY,
        text="decision under 500 rules over 500 tools, against 50 rules",
        bound=FLAT,
        unit="x",
        sense="at most",
        value=_engine("growth"),
        needs_policy=False,
    ),
    Goal(
        group=_PROCESS,
        text="idle memory",
        bound=150.0,
        unit="MB",
        sense="at most",
        value=_idle_mb,
        needs_policy=False,
    ),
    Goal(
        group=_PROCESS,
        text="memory growth over 200,000 requests",
        bound=NO_GROWTH_BYTES,
        unit="bytes/request",
        sense="at most",
        value=_soak_growth,
    ),
)
