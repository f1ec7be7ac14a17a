"""Providers: what models are reached through, and whether they answer. Source: console.md, 5.8."""

from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.page import Call, Page

__all__ = ["PAGES"]


async def listed(call: Call) -> Response:
    """Every provider, set up or not."""
    return call.render("providers.html", rows=call.services.providers(), tested=None, problem=None)


async def probe(call: Call) -> Response:
    """Asks one for one word and shows what came back."""
    name = call.path("name")
    if name not in {row.name for row in call.services.providers()}:
        raise NothingHereError(name)
    problem = await call.services.probe(name)
    return call.render(
        "providers.html", rows=call.services.providers(), tested=name, problem=problem
    )


PAGES = (
    Page(path="/console/providers", handler=listed, right="admin"),
    Page(path="/console/providers/{name}/test", handler=probe, methods=("POST",), right="admin"),
)
