"""Home: is it healthy, and what needs me? Source: console.md, 5.1."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from interlock.console.page import Call, Page
from interlock.console.telling import first_argument
from interlock.gateway.history import DecisionFilter

__all__ = ["PAGES", "Bar", "bars_of"]

_DAY_S = 86_400.0
_STEPS = 48
_DENIED = ("hard_denied", "soft_denied")
_EXPIRES_SOON_S = 7 * _DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Half an hour of decisions, in a drawing 48 wide and 56 high."""

    at: float
    place: int
    allowed: int
    denied: int
    allowed_height: float
    denied_height: float


async def home(call: Call) -> Response:
    """Health, what waits, the last day, what was denied most, the latest."""
    services, viewer = call.services, call.viewer
    now = services.now()
    day = DecisionFilter(account_id=viewer.scope, since=now - _DAY_S)
    health = await services.health()
    series = await services.history.series(day, step_s=_DAY_S / _STEPS)
    total = sum(count for _, _, count in series)
    denied = sum(count for _, verdict, count in series if verdict in _DENIED)
    top = await services.history.tally(
        DecisionFilter(account_id=viewer.scope, since=now - _DAY_S, verdicts=_DENIED),
        "rule",
        limit=5,
    )
    latest = await services.history.decisions(DecisionFilter(account_id=viewer.scope), limit=8)
    keys = await services.admin.keys(account_id=viewer.scope)
    waiting = (
        await services.approvals.listed(state="pending", account_id=viewer.scope, limit=20)
        if viewer.may_decide
        else []
    )
    expiring = [
        key
        for key in keys
        if key.expires_at is not None
        and key.status(now) == "active"
        and key.expires_at - now < _EXPIRES_SOON_S
    ]
    midnight = now - now % _DAY_S
    (today,) = await services.history.usage(by=(), since=midnight, account_id=viewer.scope)
    (month,) = await services.history.usage(by=(), since=now - 30 * _DAY_S, account_id=viewer.scope)
    policies = await services.policies.summaries()
    providers = services.providers()
    steps = [
        ("Sign in", True, "", ""),
        (
            "Connect a provider",
            any(p.state == "ready" and p.kind != "demo" for p in providers),
            "/console/providers",
            "Providers",
        ),
        (
            "Make a key",
            any(key.label != "bootstrap" for key in keys),
            "/console/keys/new",
            "Create key",
        ),
        ("Send the sample request", bool(latest.decisions), "demo", "Run the demo attack"),
        (
            "Write the first policy",
            any(p.policy.name != "demo-attack" for p in policies),
            "/console/policies/new",
            "New policy",
        ),
    ]
    return call.render(
        "home.html",
        fragments={"tiles": "home_tiles.html", "latest": "home_latest.html"},
        health=health,
        broken=[name for name, state in health.items() if state != "ok"],
        total=total,
        denied=denied,
        bars=bars_of(series, now),
        latency=await services.history.latency(day),
        top=top,
        latest=[(record, first_argument(record.args)) for record in latest.decisions],
        approvals=waiting,
        expiring=expiring,
        today=today,
        month=month,
        providers=[p for p in providers if p.state in {"ready", "callers_key"}],
        key_labels={key.id: key.label for key in keys},
        steps=steps if viewer.admin and not all(step[1] for step in steps) else [],
    )


def bars_of(series: Sequence[tuple[float, str, int]], now: float) -> list[Bar]:
    """The drawing of the last day; empty half hours are empty bars."""
    step = _DAY_S / _STEPS
    first = (now // step - _STEPS + 1) * step
    sums: dict[int, list[int]] = {place: [0, 0] for place in range(_STEPS)}
    for at, verdict, count in series:
        place = round((at - first) / step)
        if place in sums:
            sums[place][verdict in _DENIED] += count
    most = max(1, *(allowed + denied for allowed, denied in sums.values()))
    return [
        Bar(
            at=first + place * step,
            place=place,
            allowed=allowed,
            denied=denied,
            allowed_height=round(54 * allowed / most, 2),
            denied_height=round(54 * denied / most, 2),
        )
        for place, (allowed, denied) in sums.items()
    ]


async def demo(call: Call) -> Response:
    """Plays the demo attack and opens what was decided."""
    call.need_admin("run the demo attack")
    decision_id = await call.services.demo.play(call.viewer)
    return call.redirect(f"/console/decisions?peek={decision_id}")


async def more(call: Call) -> Response:
    """Every page, for narrow screens."""
    return call.render("more.html")


PAGES = (
    Page(path="/console", handler=home),
    Page(path="/console/", handler=home),
    Page(path="/console/demo", handler=demo, methods=("POST",)),
    Page(path="/console/more", handler=more),
)
