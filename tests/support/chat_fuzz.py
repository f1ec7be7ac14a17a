"""Requests made from the API document itself, and what their answers must keep to.

Cases come from schemathesis and run against the application in the test's own loop; ids of
things that exist are mixed in, or every request would end at "not found".
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.chat_client import Answer, ChatClient

__all__ = ["Fuzz"]


class Fuzz:
    """Sends cases of every operation; collects what was wrong with the answers."""

    def __init__(
        self,
        document: Mapping[str, Any],
        client: ChatClient,
        known: Sequence[str],
        *,
        examples: int,
    ) -> None:
        self._document = document
        self._client = client
        self._known = list(known)
        self._examples = examples
        self._loop = asyncio.get_running_loop()
        self.problems: dict[str, str] = {}
        self.sent = 0
        self.seen: dict[str, set[int]] = {}

    async def run(self, *, below: tuple[str, ...] = ("/",)) -> None:
        """All operations whose path begins like this."""
        schema = schemathesis.openapi.from_dict(dict(self._document))
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path.startswith(below):
                await asyncio.to_thread(self._operation, operation)

    def _operation(self, operation: Any) -> None:
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=self._examples,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(data=st.data())
            def attempt(data: Any) -> None:
                case = data.draw(operation.as_strategy(generation_mode=mode))  # noqa: B023
                ids = st.sampled_from([None, *self._known])
                path = {
                    name: data.draw(ids) or value
                    for name, value in (case.path_parameters or {}).items()
                }
                future = asyncio.run_coroutine_threadsafe(
                    self._send(operation, case, path), self._loop
                )
                future.result(30)

            try:
                attempt()
            except schemathesis.errors.InvalidSchema as error:
                self.problems[f"{operation.label} {mode}"] = str(error)
            except Exception as error:
                if type(error).__name__ != "Unsatisfiable":
                    raise

    async def _send(self, operation: Any, case: Any, path: Mapping[str, Any]) -> None:
        place = operation.path
        for name, value in path.items():
            place = place.replace("{" + name + "}", quote(str(value), safe="", errors="replace"))
        query = urlencode(
            {name: _texts(value) for name, value in (case.query or {}).items()},
            doseq=True,
            errors="replace",
        )
        headers = {}
        for name, value in (case.headers or {}).items():
            text = str(value)
            if text.isascii() and text.isprintable() and str(name).isascii():
                headers[str(name).lower()] = text
        for name in ("authorization", "cookie", "x-csrf-token"):
            headers.pop(name, None)
        raw = _body(case)
        label = f"{operation.method.upper()} {operation.path}"
        answer = await self._client.send(
            operation.method.upper(), f"{place}?{query}", raw=raw, headers=headers
        )
        self.sent += 1
        self.seen.setdefault(label, set()).add(answer.status)
        problem = self._wrong(operation, answer)
        if problem is not None:
            self.problems.setdefault(
                f"{label} {problem[:80]}", f"{place}?{query} {raw!r:.300} -> {problem}"
            )

    def _wrong(self, operation: Any, answer: Answer) -> str | None:
        definition = self._document["paths"][operation.path][operation.method.lower()]
        told = definition["responses"].get(str(answer.status))
        if answer.status >= 500:
            return f"{answer.status}: {answer.body[:300]!r}"
        if told is None:
            return f"undocumented {answer.status}: {answer.body[:300]!r}"
        media = answer.headers.get("content-type", "").partition(";")[0]
        content = told.get("content")
        if not content:
            return f"{answer.status} has a body" if answer.body and answer.status == 204 else None
        if media not in content:
            return f"{answer.status} is undocumented {media}"
        schema = content[media].get("schema")
        if schema and media.endswith("json"):
            whole = {**schema, "components": self._document["components"]}
            try:
                jsonschema.validate(answer.json, whole, cls=jsonschema.Draft202012Validator)
            except jsonschema.ValidationError as error:
                return f"{answer.status} does not fit its schema: {error.message[:200]}"
        return None


def _texts(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, list) else str(value)


def _body(case: Any) -> bytes | None:
    body = case.body
    if type(body).__name__ == "NotSet":
        return None
    if isinstance(body, bytes):
        return body
    try:
        return json.dumps(body).encode()
    except (TypeError, ValueError):
        return str(body).encode("utf-8", "replace")
