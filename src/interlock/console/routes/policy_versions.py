"""Versions of a policy: what each changed, and how to go back. Source: console.md, 5.4."""

from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.page import Call, Page
from interlock.console.routes.policies import opened
from interlock.console.routes.policy_texts import diff_of
from interlock.gateway.policies.errors import VersionNotFoundError

__all__ = ["PAGES"]


async def versions(call: Call) -> Response:
    """All versions, and what one changed against another."""
    found = await opened(call)
    shown = call.query("n")
    chosen = next((one for one in found.versions if str(one.n) == shown), found.versions[0])
    before = next((one for one in found.versions if one.n == chosen.n - 1), None)
    return call.render(
        "policy_versions.html",
        found=found,
        chosen=chosen,
        before=before,
        diff=diff_of(before.text if before else "", chosen.text),
        tab="versions",
    )


async def restore(call: Call) -> Response:
    """Keeps the text of an old version as a new draft."""
    call.need_admin("change policies")
    found = await opened(call)
    try:
        _, version = await call.services.policies.version(
            found.policy.name, int(call.field("n") or 0)
        )
    except (VersionNotFoundError, ValueError):
        raise NothingHereError(call.field("n")) from None
    await call.services.policies.save(
        found.policy.name,
        version.text,
        call.viewer.actor,
        language=found.policy.language,
        note=f"restored from version {version.n}",
    )
    return call.redirect(f"/console/policies/{found.policy.name}")


PAGES = (
    Page(path="/console/policies/{name}/versions", handler=versions),
    Page(path="/console/policies/{name}/versions", handler=restore, methods=("POST",)),
)
