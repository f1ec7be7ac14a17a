"""`/control/annotations/v1/...`: annotations of sessions.

Source: gateway.md section 15.2.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from interlock.gateway.annotations.model import Annotation, Draft
from interlock.gateway.annotations.service import Annotations
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import InterlockError
from interlock.surfaces.control.errors import InvalidBodyError
from interlock.surfaces.control.problems import problems, shown
from interlock.surfaces.control.schemas.annotations import AnnotationBody, BatchBody, BatchItem

__all__ = ["AnnotationRoutes"]

M = TypeVar("M", bound=BaseModel)


class AnnotationRoutes:
    """Answers the routes below `sessions`."""

    def __init__(self, annotations: Annotations) -> None:
        self._annotations = annotations

    async def answer(
        self, method: str, segments: Sequence[str], key: KeyInfo, body: bytes
    ) -> bytes:
        """The body of a 200. `segments`: none (batch), session, or session and annotation.

        Raises InvalidBodyError for a body that is none, and what the service raises.
        """
        match segments:
            case []:
                return msgspec.json.encode(await self._batch(key, body))
            case [session_id, annotation_id]:
                await self._annotations.remove(key, session_id, annotation_id)
                return msgspec.json.encode({"id": annotation_id, "deleted": True})
            case [session_id] if method == "POST":
                draft = _draft(_read(AnnotationBody, _tree(body)))
                made = await self._annotations.add(key, session_id, draft)
                return msgspec.json.encode(_shown(made))
            case [session_id, *_]:
                found = await self._annotations.of_session(key, session_id)
                listed = [_shown(one) for one in found]
                return msgspec.json.encode({"session_id": session_id, "annotations": listed})
        raise InvalidBodyError("no such path")

    async def _batch(self, key: KeyInfo, body: bytes) -> Mapping[str, object]:
        """Keeps those that are right; says of the others what is wrong, by their position."""
        items = _read(BatchBody, _tree(body)).items
        drafts: dict[int, tuple[str, Draft]] = {}
        errors: dict[int, InterlockError] = {}
        for number, item in enumerate(items):
            try:
                read = _read(BatchItem, item)
                annotation = _read(AnnotationBody, read.annotation, "annotation.")
                drafts[number] = read.session_id, _draft(annotation)
            except InvalidBodyError as error:
                errors[number] = error
        kept = await self._annotations.add_all(key, drafts)
        errors |= kept.errors
        return {
            "created": [_shown(one) for one in kept.created],
            "errors": [
                _refused(number, items[number], errors[number]) for number in sorted(errors)
            ],
        }


def _tree(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBodyError(f"Invalid JSON: {error}") from None


def _read(model: type[M], tree: object, prefix: str = "") -> M:
    if not isinstance(tree, dict):
        where = prefix.rstrip(".")
        what = f"{where}: Input" if where else "the body"
        raise InvalidBodyError(f"{what} should be a JSON object", param=where or None)
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        found = problems(error)
        raise InvalidBodyError(prefix + shown(found), param=prefix + found[0].path) from None


def _draft(body: AnnotationBody) -> Draft:
    return Draft(
        source=body.source,
        labels=body.labels.model_dump(exclude_none=True),
        outcome_logs=body.outcome_logs,
        metadata=body.metadata,
    )


def _shown(annotation: Annotation) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(annotation.at, UTC)
    return {
        "id": annotation.id,
        "session_id": annotation.session_id,
        "timestamp": stamp.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "source": annotation.source,
        "labels": annotation.labels,
        "outcome_logs": annotation.outcome_logs,
        "metadata": annotation.metadata,
    }


def _refused(number: int, item: object, error: InterlockError) -> dict[str, Any]:
    """An entry of `errors`: what the error body of a single annotation says."""
    session_id = item.get("session_id") if isinstance(item, dict) else None
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return {
        "index": number,
        "session_id": session_id if isinstance(session_id, str) else None,
        "code": error.error_code,
        "param": error.param,
        "message": message,
    }
