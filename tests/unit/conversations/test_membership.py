"""Members and invitations: who may, what is told, what ends."""

import pytest
from tests.support.talk_site import AGENTS, TalkSite, context, person

from interlock.conversations.errors import (
    ForbiddenError,
    InvalidFieldError,
    InviteExistsError,
    InviteGoneError,
    LastOwnerError,
    NotFoundError,
)
from interlock.conversations.posting import Draft
from interlock.conversations.service import NewConversation

pytestmark = pytest.mark.anyio
ANN, BOB, CLEO, DAN = (context(name) for name in ("ann", "bob", "cleo", "dan"))


async def _group(site: TalkSite) -> str:
    made = await site.talks.conversations.create(
        ANN,
        NewConversation(title="G", is_group=True, participants=((person("bob").id, "admin"),)),
    )
    return str(made["id"])


async def test_a_new_member_another_role_and_the_same_role_are_told_apart(site: TalkSite) -> None:
    group = await _group(site)
    before = len(await site.told(group))

    for role in ("member", "viewer", "viewer"):
        await site.talks.membership.put(ANN, group, person("cleo").id, role)  # type: ignore[arg-type]

    events = await site.log.read([f"conversation:{group}"], limit=99, reader="*")
    told = [(one.payload["action"], one.payload["role"]) for one in events[before:]]
    assert told == [("added", "member"), ("role_updated", "viewer")]


async def test_only_an_owner_makes_and_removes_owners(site: TalkSite) -> None:
    group = await _group(site)

    with pytest.raises(ForbiddenError):
        await site.talks.membership.put(BOB, group, person("cleo").id, "owner")
    with pytest.raises(ForbiddenError):
        await site.talks.membership.remove(BOB, group, person("ann").id)
    with pytest.raises(ForbiddenError):
        await site.talks.membership.invite(
            BOB, group, email="x@example.com", role="owner", ttl_s=3600
        )


async def test_the_last_owner_stays(site: TalkSite) -> None:
    group = await _group(site)

    with pytest.raises(LastOwnerError):
        await site.talks.membership.put(ANN, group, person("ann").id, "member")
    with pytest.raises(LastOwnerError):
        await site.talks.membership.remove(ANN, group, person("ann").id)
    await site.talks.membership.put(ANN, group, person("bob").id, "owner")
    await site.talks.membership.remove(ANN, group, person("ann").id)


async def test_a_removal_is_told_before_the_person_is_offline(site: TalkSite) -> None:
    group = await _group(site)
    root = await site.talks.posting.root(ANN, group, Draft(content="x"))
    await site.talks.attendance.read(BOB, root.root_id, None)
    before = len(await site.told(group))

    await site.talks.membership.remove(ANN, group, person("bob").id)

    assert [one for one, _ in (await site.told(group))[before:]] == [
        "membership.changed",
        "presence.update",
    ]
    with pytest.raises(NotFoundError):
        await site.talks.membership.remove(ANN, group, person("bob").id)


async def test_an_agent_can_be_a_member_and_somebody_unknown_cannot(site: TalkSite) -> None:
    group = await _group(site)
    await site.talks.membership.put(ANN, group, AGENTS[1].id, "member")

    kinds = [one["kind"] for one in await site.talks.membership.participants(BOB, group)]
    assert kinds == ["user", "user", "agent"]
    with pytest.raises(NotFoundError):
        await site.talks.membership.put(ANN, group, group, "member")
    with pytest.raises(InvalidFieldError):
        await site.talks.membership.put(ANN, group, AGENTS[2].id, "admin")


async def test_an_invitation_lets_in_whom_it_was_for_and_only_once(site: TalkSite) -> None:
    group = await _group(site)
    token, _ = await site.talks.membership.invite(
        ANN, group, email=" CLEO@Example.com", role="member", ttl_s=3600
    )
    with pytest.raises(InviteExistsError):
        await site.talks.membership.invite(
            BOB, group, email="cleo@example.com", role="member", ttl_s=3600
        )
    with pytest.raises(ForbiddenError):
        await site.talks.membership.accept(DAN, token)

    assert await site.talks.membership.accept(CLEO, token) == group
    assert await site.talks.membership.accept(CLEO, token) == group
    with pytest.raises(InviteGoneError) as gone:
        await site.talks.membership.accept(DAN, token)
    assert gone.value.error_code == "invite_used"
    assert [one for one, _ in (await site.told(group))[-2:]] == [
        "membership.changed",
        "presence.update",
    ]


async def test_an_invitation_expires_and_can_be_taken_back(site: TalkSite) -> None:
    group = await _group(site)
    first, _ = await site.talks.membership.invite(
        ANN, group, email="cleo@example.com", role="member", ttl_s=60
    )
    second, _ = await site.talks.membership.invite(
        ANN, group, email="dan@example.com", role="member", ttl_s=3600
    )
    site.clock.move(61)
    with pytest.raises(InviteGoneError) as expired:
        await site.talks.membership.accept(CLEO, first)
    with pytest.raises(ForbiddenError):
        await site.talks.membership.revoke(DAN, second)
    await site.talks.membership.revoke(BOB, second)
    with pytest.raises(InviteGoneError) as revoked:
        await site.talks.membership.accept(DAN, second)
    assert (expired.value.error_code, revoked.value.error_code) == (
        "invite_expired",
        "invite_revoked",
    )
    assert len(await site.talks.membership.invites(ANN, group)) == 2


async def test_an_invitation_never_lowers_a_role(site: TalkSite) -> None:
    group = await _group(site)
    token, _ = await site.talks.membership.invite(
        ANN, group, email="bob@example.com", role="viewer", ttl_s=3600
    )
    await site.talks.membership.accept(BOB, token)

    roles = [one["role"] for one in await site.talks.membership.participants(ANN, group)]
    assert roles == ["owner", "admin"]


@pytest.mark.parametrize("ttl_s", [59, 2_592_001])
async def test_an_invitation_that_makes_no_sense_is_refused(site: TalkSite, ttl_s: int) -> None:
    group = await _group(site)
    with pytest.raises(InvalidFieldError):
        await site.talks.membership.invite(
            ANN, group, email="c@example.com", role="member", ttl_s=ttl_s
        )
    with pytest.raises(InvalidFieldError):
        await site.talks.membership.invite(ANN, group, email="nobody", role="member", ttl_s=60)
