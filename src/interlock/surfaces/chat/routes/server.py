"""Health, readiness, well-known documents, the API document. Source: conversations.md, 5."""

from typing import Any

import yaml
from fastapi import APIRouter, Request
from starlette.responses import Response

from interlock.surfaces.chat.envelope import json_answer, problem
from interlock.surfaces.chat.parts import ERRORS, Parts
from interlock.surfaces.chat.schemas.told import ReadyOut, StatusOut

__all__ = ["router"]

router = APIRouter(responses={500: ERRORS[500]}, tags=["server"])


@router.get("/api/health", responses={200: {"model": StatusOut}})
async def health(parts: Parts) -> Response:
    """The process lives."""
    parts.checked("health", 200)
    return json_answer({"status": "ok"})


@router.get("/healthz", responses={200: {"model": StatusOut}})
async def healthz(parts: Parts) -> Response:
    """The process lives."""
    parts.checked("healthz", 200)
    return json_answer({"status": "ok"})


@router.get("/readyz", responses={200: {"model": ReadyOut}, 503: {"model": ReadyOut}})
async def readyz(parts: Parts) -> Response:
    """Whether the server can serve."""
    missing = list(await parts.missing())
    parts.checked("readyz", 503 if missing else 200)
    if missing:
        return json_answer({"ready": False, "missing": missing}, 503)
    return json_answer({"ready": True})


@router.get("/.well-known/{path:path}", responses={404: ERRORS[404]})
async def well_known(path: str, parts: Parts) -> Response:
    """A configured document."""
    found = parts.well_known.get(path)
    if found is None:
        return problem(404, "not_found", "There is no such document.")
    return Response(
        found.body,
        media_type=found.content_type,
        headers={"Cache-Control": "max-age=3600, public"},
    )


@router.get("/api/openapi.json", responses={200: {"content": {"application/json": {}}}})
async def document(request: Request) -> Response:
    """The document of this API, OpenAPI 3.1."""
    return json_answer(_document(request))


@router.get("/api/openapi.yaml", responses={200: {"content": {"application/yaml": {}}}})
async def document_yaml(request: Request) -> Response:
    """The same document in YAML."""
    text = yaml.safe_dump(_document(request), sort_keys=False, allow_unicode=True)
    return Response(text, media_type="application/yaml", headers={"Cache-Control": "no-store"})


def _document(request: Request) -> dict[str, Any]:
    document: dict[str, Any] = request.app.openapi()
    return document
