"""Rows for the pages of limits and users: profiles, routes, who is near a limit, people."""

from tests.support.console_site import PASSWORD, Site

from interlock.identity.login.model import Origin
from interlock.identity.model import KeyLimits, KeySpec
from interlock.limits.errors import RateLimitedError
from interlock.limits.routes import Asker

__all__ = ["fill_control"]

_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def fill_control(site: Site) -> dict[str, str]:
    """Writes the rows; gives ids of some of them."""
    app, actor = site.app, site.people["admin"].actor
    profiles = app.limits.profiles
    slow = await profiles.create(
        actor,
        name="careful",
        params={"requests_per_second": 0.05, "burst": 2},
        description="searches that cost much",
    )
    wide = await profiles.create(
        actor,
        name="reports",
        algorithm="fixed_window",
        params={"limit": 100, "window_seconds": 300, "scope": "global"},
    )
    await profiles.assign(actor, profile_id=slow.id, method="GET", path="/api/search")
    await profiles.assign(actor, profile_id=wide.id, method="POST", path="/api/reports/*")
    member = site.people["member"]
    for _ in range(5):
        await app.limits.routes.check(
            "GET", "/api/search", Asker(address="192.0.2.7", user_id=member.user_id)
        )
    for _ in range(70):
        await app.limits.routes.check("POST", "/api/reports/daily", Asker(address="192.0.2.9"))
    made = await app.store.admin.create_key(
        KeySpec(
            label="nightly",
            limits=KeyLimits(requests_per_minute=2, tokens_per_minute=1000, monthly_cost=50.0),
        ),
        actor,
        user=member.email,
    )
    key = await app.store.keys.lookup(made.token)
    for _ in range(3):
        try:
            later = app.key_limits.limits.admit(key)
            if later is not None:
                await later
        except RateLimitedError:
            break
    invited = await app.store.people.create_user("ines@corp.example", actor)
    gone = await app.store.people.create_user("gus@corp.example", actor, display_name="Gus Gone")
    await app.store.people.disable(gone.id, actor)
    await app.store.logins.login(
        member.email, PASSWORD, Origin(address="192.0.2.7", user_agent=_FIREFOX)
    )
    return {
        "profile": slow.id,
        "user": member.user_id,
        "invited": invited.id,
        "disabled": gone.id,
        "limited_key": made.view.id,
    }
