"""Settings of the person and of the server, about. Source: console.md, 5.11."""

from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import Any

from starlette.responses import Response

from interlock.console.devices import device_of
from interlock.console.errors import NothingHereError
from interlock.console.look import COOKIE, zones
from interlock.console.page import Call, Page
from interlock.gateway.history import DecisionFilter

__all__ = ["PAGES", "TABS", "render_tab"]

TABS = {
    "profile": False,
    "security": False,
    "appearance": False,
    "keys": False,
    "server": True,
    "retention": True,
    "audit": True,
    "about": False,
}
"""Tab -> for administrators alone."""
_YEAR_S = 31_536_000
_DAY_S = 86_400.0
_LICENSED = ("starlette", "SQLAlchemy", "Jinja2", "msgspec", "pydantic", "cryptography", "nh3")


async def shown(call: Call) -> Response:
    """One tab."""
    tab = call.request.url.path.rsplit("/", 1)[1]
    if tab not in _VALUES:
        raise NothingHereError(tab)
    if TABS[tab]:
        call.need_admin()
    return render_tab(call, tab, await _VALUES[tab](call))


def render_tab(call: Call, tab: str, values: Mapping[str, Any], *, status: int = 200) -> Response:
    """A tab with the row of tabs above it."""
    tabs = [name for name, admin in TABS.items() if call.viewer.admin or not admin]
    return call.render(f"settings_{tab}.html", status=status, tab=tab, tabs=tabs, **values)


async def profile(call: Call) -> dict[str, Any]:
    """Who the person is."""
    found = await call.services.roster.names([call.viewer.user_id])
    return {
        "user": found.get(call.viewer.user_id),
        "accounts": await call.services.admin.accounts_of(call.viewer.user_id),
        "problem": None,
    }


async def security(call: Call) -> dict[str, Any]:
    """Password and sessions of the person."""
    own = await call.services.own_session(call.request)
    return {
        "sessions": [
            (session, device_of(session.origin.user_agent), session.id == own)
            for session in await call.services.people.sessions_of(call.viewer.user_id)
        ],
        "problem": None,
        "done": call.query("done"),
    }


async def appearance(call: Call) -> dict[str, Any]:
    """How pages look in this browser."""
    return {"zones": zones()}


async def keys(call: Call) -> dict[str, Any]:
    """Keys of the person."""
    found = await call.services.admin.keys(account_id=call.viewer.scope)
    return {"rows": [key for key in found if key.user_id == call.viewer.user_id]}


async def server(call: Call) -> dict[str, Any]:
    """Settings in effect and where each came from."""
    find = call.query("find").lower()[:100]
    rows = call.services.settings()
    return {
        "rows": [row for row in rows if find in row.key.lower()],
        "changed": sum(row.source != "default" for row in rows),
        "all": len(rows),
        "find": find,
    }


async def retention(call: Call) -> dict[str, Any]:
    """How long things are kept, and what goes next."""
    now = call.services.now()
    held = {row.key: row.value for row in call.services.settings()}
    days = float(held.get("gateway.decision_days", "365"))
    oldest = now - (days - 1) * _DAY_S
    return {
        "held": held,
        "goes": await call.services.history.count(DecisionFilter(until=oldest), at_most=1_000_000),
    }


async def about(call: Call) -> dict[str, Any]:
    """Version, health, what it is made of."""
    return {
        "version": call.services.version,
        "health": await call.services.health(),
        "parts": [(name, _licence(name)) for name in _LICENSED],
    }


_VALUES: dict[str, Callable[[Call], Awaitable[dict[str, Any]]]] = {
    "profile": profile,
    "security": security,
    "appearance": appearance,
    "keys": keys,
    "server": server,
    "retention": retention,
    "about": about,
}


async def look(call: Call) -> Response:
    """Keeps how it should look, in this browser."""
    answer = call.redirect("/console/settings/appearance")
    chosen = call.look.changed(call.form)
    answer.set_cookie(
        COOKIE, chosen.cookie(), max_age=_YEAR_S, path="/console", httponly=True, samesite="strict"
    )
    return answer


async def start(call: Call) -> Response:
    """The first tab."""
    return call.redirect("/console/settings/profile")


def _licence(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


PAGES = (
    Page(path="/console/settings", handler=start),
    Page(path="/console/settings/profile", handler=shown),
    Page(path="/console/settings/appearance", handler=shown),
    Page(path="/console/settings/appearance", handler=look, methods=("POST",)),
    Page(path="/console/settings/{tab}", handler=shown),
)
