"""Looking at and approving changed tool definitions."""

import msgspec
import pytest
from tests.support.policy_site import ACTOR, PolicySite

from interlock.gateway.pin_review import NothingToApproveError, ToolPinNotFoundError, difference
from interlock.gateway.repository import ToolPin, ToolPinRepository

pytestmark = pytest.mark.anyio

PIN = ToolPin(
    scope="key_1",
    tool="send_email",
    digest="aaaa",
    definition='{"description":"Sends","name":"send_email"}',
    first_seen_at=1,
    last_seen_at=2,
    pending_digest="bbbb",
    pending_definition='{"description":"Sends \\u001b[2J all","name":"send_email"}',
    pending_since=2,
)


async def test_what_was_looked_at_is_what_is_approved(site: PolicySite) -> None:
    await ToolPinRepository(site.database).save([PIN])
    with pytest.raises(NothingToApproveError, match="that waits is `bbbb`"):
        await site.pins.approve("key_1", "send_email", ACTOR, digest="cc")
    assert await site.pins.pins(pending=True) == [PIN]

    assert await site.pins.approve("key_1", "send_email", ACTOR, digest="BB") == PIN
    approved = await site.pins.pin("key_1", "send_email")
    assert (approved.digest, approved.definition) == ("bbbb", PIN.pending_definition)
    assert (approved.pending_digest, approved.approved_by) == (None, ACTOR.name)
    assert await site.pins.pins("key_1", pending=True) == []
    (entry,) = await site.audit.entries(action="tool.approve")
    assert (entry.actor, entry.target) == (ACTOR.name, "key_1/send_email")
    assert entry.before is not None
    assert entry.after is not None
    assert entry.before["definition"]["description"] == "Sends"
    assert entry.after["digest"] == "bbbb"


async def test_there_is_nothing_to_approve_without_a_change(site: PolicySite) -> None:
    unchanged = msgspec.structs.replace(
        PIN, pending_digest=None, pending_definition=None, pending_since=None
    )
    await ToolPinRepository(site.database).save([unchanged])

    with pytest.raises(NothingToApproveError):
        await site.pins.approve("key_1", "send_email", ACTOR)
    with pytest.raises(ToolPinNotFoundError):
        await site.pins.approve("key_2", "send_email", ACTOR)
    with pytest.raises(ToolPinNotFoundError):
        await site.pins.pin("key_1", "other")
    assert difference(unchanged) == []
    assert await site.audit.entries(action="tool.approve") == []


def test_the_difference_shows_what_changed_and_no_control_characters() -> None:
    lines = difference(PIN)

    assert '-  "description": "Sends",' in lines
    assert '+  "description": "Sends \\u001b[2J all",' in lines
    assert not any("\x1b" in line for line in lines)
