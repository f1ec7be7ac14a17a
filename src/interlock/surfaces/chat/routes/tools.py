"""Deterministic tools: what there is, and running one. Source: conversations.md, 13."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from interlock.conversations.tooling import PeopleTools
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS
from interlock.surfaces.chat.schemas.asked import UuidText

__all__ = ["tools_router"]

Name = Annotated[str, Path(max_length=64)]


class InvokeIn(BaseModel):
    """A call of a tool."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    conversation_id: UuidText | None = None


class ToolExample(BaseModel):
    """A call and what it gives."""

    arguments: dict[str, Any]
    output: dict[str, Any]


class ToolOut(BaseModel):
    """A tool and its schemas."""

    name: str
    title: str
    description: str
    category: str
    version: str
    deterministic: bool
    side_effects: str
    enabled: bool
    timeout_ms: int
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    examples: list[ToolExample]


class ToolsOut(BaseModel):
    """Tools by name."""

    tools: list[ToolOut]
    total: int


class ToolFault(BaseModel):
    """Why a tool gave nothing."""

    code: str
    message: str


class InvokeOut(BaseModel):
    """What a call gave: `output` when it went well, else `error`."""

    tool: str
    version: str
    ok: bool
    output: dict[str, Any] | None = None
    error: ToolFault | None = None
    duration_ms: float
    input_hash: str
    output_hash: str | None
    cached: bool


def tools_router(tools: PeopleTools) -> APIRouter:
    """The routes of tools."""
    router = APIRouter(
        responses={
            **ERRORS,
            422: {**ERRORS[400], "description": "The arguments do not match the schema."},
            504: {**ERRORS[400], "description": "The tool took too long."},
        },
        tags=["tools"],
    )

    @router.get("/api/tools", responses={200: {"model": ToolsOut}})
    async def listed(ctx: Caller) -> Response:
        """Tools the caller may use, by name."""
        del ctx
        found = tools.listed()
        return json_answer({"tools": found, "total": len(found)})

    @router.get("/api/tools/{name}", responses={200: {"model": ToolOut}})
    async def described(name: Name, ctx: Caller) -> Response:
        """One tool."""
        del ctx
        return json_answer(tools.described(name))

    @router.post("/api/tools/{name}/invoke", responses={200: {"model": InvokeOut}})
    async def invoke(name: Name, body: InvokeIn, ctx: Caller) -> Response:
        """Runs a tool; a failure inside it is answered with `ok: false`."""
        where = body.conversation_id
        ran = await tools.invoke(ctx, name, body.arguments, where and where.lower())
        answer: dict[str, Any] = {"tool": ran.tool, "version": ran.version}
        if ran.failure is None:
            answer |= {"ok": True, "output": ran.output}
        else:
            answer |= {
                "ok": False,
                "error": dict(zip(("code", "message"), ran.failure, strict=True)),
            }
        return json_answer(
            answer
            | {
                "duration_ms": ran.duration_ms,
                "input_hash": ran.input_hash,
                "output_hash": ran.output_hash,
                "cached": ran.cached,
            }
        )

    return router
