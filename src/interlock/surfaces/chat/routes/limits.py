"""Profiles of rate limits and the routes they hold on, for administrators.

Source: conversations.md sections 15.1 to 15.3.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.responses import Response

from interlock.conversations.views import instant
from interlock.identity.context import Context
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.model import Assignment, Profile
from interlock.limits.profiles import KEEP, LimitProfiles
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id

__all__ = ["limits_router"]

_PROFILES = "/api/admin/limits/profiles"
_ASSIGNMENTS = "/api/admin/limits/assignments"
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


class NotSwitchedOnError(InterlockError):
    """Raised while `rate_limits.admin_api_enabled` is off."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self) -> None:
        super().__init__("there is nothing at this path")


class NotAdministratorError(InterlockError):
    """Raised when the caller does not administer the server."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "forbidden"

    def __init__(self) -> None:
        super().__init__("only administrators may do this")


class ProfileIn(BaseModel):
    """A new profile."""

    name: str
    algorithm: str = "gcra"
    params: dict[str, Any] = Field(default_factory=dict)
    description: str | None = None


class ProfilePatch(BaseModel):
    """What of a profile is to change; an absent description stays, null or empty clears it."""

    name: str | None = None
    algorithm: str | None = None
    params: dict[str, Any] | None = None
    description: str | None = None


class AssignmentIn(BaseModel):
    """Where a profile shall hold."""

    profile_id: Annotated[str, Field(pattern=_UUID)]
    method: str
    path: str


class ProfileOut(BaseModel):
    """A profile; instants are RFC 3339 in UTC."""

    id: str
    name: str
    algorithm: str
    params: dict[str, Any]
    description: str | None = None
    created_at: str
    updated_at: str


class AssignmentOut(BaseModel):
    """A profile on a route."""

    id: str
    profile_id: str
    profile_name: str
    method: str
    path_pattern: str
    created_at: str
    updated_at: str


class _Guard(Protocol):
    async def __call__(self, ctx: Caller) -> Context: ...


def limits_router(profiles: LimitProfiles, *, enabled: bool) -> APIRouter:
    """The routes; while they are not `enabled` each of them is 404 for everybody."""

    async def switched_on() -> None:
        if not enabled:
            raise NotSwitchedOnError

    async def administrator(ctx: Caller) -> Context:
        if not ctx.is_admin or (ctx.scopes and "admin" not in ctx.scopes):
            raise NotAdministratorError
        return ctx

    router = APIRouter(responses=ERRORS, tags=["limits"], dependencies=[Depends(switched_on)])
    _profile_routes(router, profiles, administrator)
    _assignment_routes(router, profiles, administrator)
    return router


def _profile_routes(router: APIRouter, profiles: LimitProfiles, guard: _Guard) -> None:
    @router.get(_PROFILES, responses={200: {"model": list[ProfileOut]}})
    async def list_profiles(ctx: Annotated[Context, Depends(guard)]) -> Response:
        """All profiles, by name."""
        del ctx
        return json_answer([_profile(one) for one in await profiles.profiles()])

    @router.post(_PROFILES, status_code=201, responses={201: {"model": ProfileOut}})
    async def make_profile(ctx: Annotated[Context, Depends(guard)], body: ProfileIn) -> Response:
        """Makes a profile; it holds nowhere until it is assigned."""
        made = await profiles.create(
            ctx.actor,
            name=body.name,
            algorithm=body.algorithm,
            params=body.params,
            description=body.description,
        )
        return json_answer(_profile(made), 201)

    @router.put(_PROFILES + "/{id}", responses={200: {"model": ProfileOut}})
    async def change_profile(
        id: Id,  # noqa: A002 - the published name
        ctx: Annotated[Context, Depends(guard)],
        body: ProfilePatch,
    ) -> Response:
        """Changes what is given; it holds for the next request."""
        changed = await profiles.change(
            ctx.actor,
            id.lower(),
            name=body.name,
            algorithm=body.algorithm,
            params=body.params,
            description=body.description if "description" in body.model_fields_set else KEEP,
        )
        return json_answer(_profile(changed))

    @router.delete(_PROFILES + "/{id}", status_code=204)
    async def delete_profile(
        id: Id,  # noqa: A002 - the published name
        ctx: Annotated[Context, Depends(guard)],
    ) -> Response:
        """Removes a profile that is assigned nowhere and not built in."""
        await profiles.delete(ctx.actor, id.lower())
        return Response(status_code=204)


def _assignment_routes(router: APIRouter, profiles: LimitProfiles, guard: _Guard) -> None:
    @router.get(_ASSIGNMENTS, responses={200: {"model": list[AssignmentOut]}})
    async def list_assignments(ctx: Annotated[Context, Depends(guard)]) -> Response:
        """All assignments, by method and pattern."""
        del ctx
        found: Sequence[Assignment] = await profiles.assignments()
        return json_answer([_assignment(one) for one in found])

    @router.post(_ASSIGNMENTS, status_code=201, responses={201: {"model": AssignmentOut}})
    async def assign(ctx: Annotated[Context, Depends(guard)], body: AssignmentIn) -> Response:
        """Puts a profile on a route; one that has another profile moves to this one."""
        made = await profiles.assign(
            ctx.actor, profile_id=body.profile_id.lower(), method=body.method, path=body.path
        )
        return json_answer(_assignment(made), 201)

    @router.delete(_ASSIGNMENTS + "/{id}", status_code=204)
    async def unassign(
        id: Id,  # noqa: A002 - the published name
        ctx: Annotated[Context, Depends(guard)],
    ) -> Response:
        """Takes a profile off a route."""
        await profiles.unassign(ctx.actor, id.lower())
        return Response(status_code=204)


def _profile(profile: Profile) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": profile.id,
        "name": profile.name,
        "algorithm": profile.algorithm,
        "params": dict(profile.params),
        "created_at": instant(profile.created_at),
        "updated_at": instant(profile.updated_at),
    }
    if profile.description is not None:
        view["description"] = profile.description
    return view


def _assignment(assignment: Assignment) -> dict[str, Any]:
    return {
        "id": assignment.id,
        "profile_id": assignment.profile_id,
        "profile_name": assignment.profile_name,
        "method": assignment.method,
        "path_pattern": assignment.path_pattern,
        "created_at": instant(assignment.created_at),
        "updated_at": instant(assignment.updated_at),
    }
