"""The API keeps to its own document, whatever it is sent."""

import os

import pytest
from tests.support.chat_client import ChatClient
from tests.support.chat_fuzz import Fuzz
from tests.support.chat_site import chat_site
from tests.support.requirements import requirement

from interlock.conversations.ports import NoReplies
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "4"))
"""Of each operation and kind; `make schemathesis` sends many more."""


@requirement("chat.openapi.kept")
async def test_no_request_made_from_the_document_gets_what_the_document_does_not_say(
    database: Database,
) -> None:
    async with chat_site(database, replies=NoReplies(), enabled=False) as site:
        root = await site.browser("root", "admin")
        member = await site.person("ann")
        made = (await root.post("/api/conversations", {"title": "x"})).json["conversation_id"]
        posted = (await root.post(f"/api/threads/{made}/root", {"content": "go"})).json
        slow = {"name": "slow", "params": {"requests_per_second": 1}}
        profile = (await root.post("/api/admin/limits/profiles", slow)).json["id"]
        document = (await root.get("/api/openapi.json")).json
        known = [made, posted["message_id"], member, profile]
        key = ChatClient(site.app, {"authorization": f"Bearer {await site.key('root')}"})

        fuzz = Fuzz(document, key, known, examples=EXAMPLES)
        await fuzz.run()
        browser = await site.signed_in("ann")
        again = Fuzz(document, browser, known, examples=EXAMPLES)
        await again.run(below=("/api/auth/", "/api/account/", "/api/setup"))

        assert fuzz.problems | again.problems == {}
        assert set(fuzz.seen) == {
            f"{method.upper()} {path}"
            for path, operations in document["paths"].items()
            for method in operations
        }
