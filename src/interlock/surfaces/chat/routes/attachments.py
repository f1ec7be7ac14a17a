"""Files of conversations: upload, look at, correct, download, remove.

Ours: the published API has none. A download never runs in a browser: it is an attachment,
without a type the browser guesses and in a sandbox.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from interlock.conversations.attachments.model import Attachment
from interlock.conversations.errors import InvalidFieldError
from interlock.conversations.views import instant
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id, TalksOf

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["attachments"])
_CHUNK = 1 << 18


class AttachmentOut(BaseModel):
    """A file and what was read from it."""

    model_config = ConfigDict(extra="allow")

    id: str
    conversation_id: str
    message_id: str | None
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    text_state: str
    created_at: str


class AttachmentsOut(BaseModel):
    """Files of a conversation."""

    attachments: list[AttachmentOut]


class TextIn(BaseModel):
    """The text there shall be."""

    text: str


_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post(
    "/api/conversations/{id}/attachments",
    status_code=201,
    responses={201: {"model": AttachmentOut}},
    openapi_extra=_FILE,
)
async def upload(id: Id, ctx: Caller, talks: TalksOf, request: Request) -> Response:  # noqa: A002
    """Keep a file; name its id in `attachments` of a message."""
    try:
        async with request.form(max_files=1, max_fields=4) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise InvalidFieldError("file", "is missing")

            async def chunks() -> AsyncIterator[bytes]:
                while data := await file.read(_CHUNK):
                    yield data

            made = await talks.attachments.upload(ctx, id.lower(), file.filename or "", chunks())
    except (MultiPartException, HTTPException):
        raise InvalidFieldError("file", "must be a form with one file") from None
    return json_answer(_view(made, text=True), status=201)


@router.get("/api/conversations/{id}/attachments", responses={200: {"model": AttachmentsOut}})
async def listed(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Files of a conversation, oldest first."""
    found = await talks.attachments.listed(ctx, id.lower())
    return json_answer({"attachments": [_view(one, text=False) for one in found]})


@router.get("/api/attachments/{id}", responses={200: {"model": AttachmentOut}})
async def show(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """One file and the text that agents are given of it."""
    return json_answer(_view(await talks.attachments.find(ctx, id.lower()), text=True))


@router.get(
    "/api/attachments/{id}/content",
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def content(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """The bytes of a file, to be saved."""
    found, data = await talks.attachments.content(ctx, id.lower())
    return Response(
        data,
        media_type=found.media_type,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "no-store",
        },
    )


@router.patch("/api/attachments/{id}", responses={200: {"model": AttachmentOut}})
async def correct(id: Id, ctx: Caller, talks: TalksOf, body: TextIn) -> Response:  # noqa: A002
    """Correct the text that agents are given."""
    return json_answer(
        _view(await talks.attachments.correct(ctx, id.lower(), body.text), text=True)
    )


@router.delete("/api/attachments/{id}", status_code=204)
async def remove(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Remove a file and its text."""
    await talks.attachments.remove(ctx, id.lower())
    return Response(status_code=204)


def _view(one: Attachment, *, text: bool) -> dict[str, Any]:
    shown = {
        **one.summary(),
        "conversation_id": one.conversation_id,
        "message_id": one.message_id,
        "uploaded_by": one.uploaded_by,
        "sha256": one.sha256,
        "text_state": one.text_state,
        "text_error": one.text_error,
        "text_edited_by": one.text_edited_by,
        "trusted": False,
        "created_at": instant(one.created_at),
    }
    return {**shown, "text": one.text} if text else shown
