"""Activation, shadow, rollback, retirement, and what a running server makes of them."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text as sql
from tests.support.policy_site import ACTOR, NOW, PolicySite, recorded

from interlock.gateway.policies.activation import Checked
from interlock.gateway.policies.bound import StoredPolicies
from interlock.gateway.policies.errors import (
    ActivationRefusedError,
    PolicyStateError,
    VersionNotFoundError,
)
from interlock.gateway.policies.model import State
from interlock.gateway.rules import FilePolicies
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

CORP = 'tool "send_email" { hard deny when not to.value in {str like w"*@corp.example"}; }'
NONE = 'tool "send_email" { hard deny always; }'
CORP_TEST = """
tests:
  - name: strangers get no mail
    call: {tool: send_email, args: {to: eve@evil.example}}
    want: {verdict: hard_denied, rule: "send_email#0"}
"""


async def states(site: PolicySite, name: str = "mail") -> dict[int, State]:
    _, versions = await site.store.versions(name)
    return {item.n: item.state for item in versions}


async def names(policies: StoredPolicies, site: PolicySite, **key: Any) -> list[str]:
    found = policies.of(site.key_info(**key), "control")
    return [f"{item.name}{'?' if item.enforcement == 'watch' else ''}" for item in found]


async def test_a_version_takes_the_place_of_the_one_before(site: PolicySite) -> None:
    for text in (CORP, NONE):
        await site.store.save("mail", text, ACTOR)
    await site.activations.activate("mail", ACTOR, n=1)
    done = await site.activations.activate("mail", ACTOR)

    assert await states(site) == {1: "retired", 2: "active"}
    assert (done.version.n, done.version.state, done.version.previous) == (2, "active", 1)
    entry = (await site.audit.entries(limit=1))[0]
    assert (entry.actor, entry.action, entry.target) == (
        ACTOR.name,
        "policy.activate",
        done.policy.id,
    )
    assert entry.before == {"policy": "mail", "version": 1}
    assert entry.after is not None
    assert (entry.after["version"], entry.after["tests"]) == (2, {"passed": 0, "failed": 0})
    assert entry.after["replay"]["calls"] == 0


async def test_a_version_that_does_not_compile_stays_a_draft(site: PolicySite) -> None:
    await site.store.save("mail", 'tool "x" { must allow; }', ACTOR)

    for shadow in (False, True):
        with pytest.raises(ActivationRefusedError, match="version 1 of `mail` is refused"):
            await site.activations.activate("mail", ACTOR, shadow=shadow)

    assert await states(site) == {1: "draft"}
    assert await site.actions() == ["policy.save"]


async def test_a_failing_test_keeps_a_version_from_being_enforced_but_not_from_being_watched(
    site: PolicySite,
) -> None:
    await site.store.save("mail", CORP, ACTOR)
    await site.store.add_tests("mail", [("t.yaml", CORP_TEST)], ACTOR)
    await site.activations.activate("mail", ACTOR)
    await site.store.save("mail", 'tool "send_email" { hard allow always; }', ACTOR)

    with pytest.raises(ActivationRefusedError) as refused:
        await site.activations.activate("mail", ACTOR)
    assert "test `strangers get no mail` fails" in refused.value.problems[1]
    assert await states(site) == {1: "active", 2: "draft"}

    found = await site.activations.activate("mail", ACTOR, shadow=True)
    assert [item.name for item in found.failed_tests] == ["strangers get no mail"]
    assert await states(site) == {1: "active", 2: "shadow"}


async def test_the_last_day_is_replayed_before_anything_changes(site: PolicySite) -> None:
    await site.people()
    await site.record(
        recorded(id="a"),
        recorded(id="b", args={"to": "eve@evil.example"}),
        recorded(id="c", args=None),
        recorded(id="old", at=NOW - 90_000, args={"to": "eve@evil.example"}),
    )
    await site.store.save("mail", CORP, ACTOR)
    seen: list[Checked] = []

    with pytest.raises(ActivationRefusedError, match="1 calls would be newly denied"):
        await site.activations.activate(
            "mail", ACTOR, refuse=("newly_denied",), checked=seen.append
        )

    assert await states(site) == {1: "draft"}
    (found,) = seen
    assert found.replay is not None
    assert not found.bound
    assert found.replay.document() == {
        "calls": 3,
        "same": 1,
        "newly_denied": 1,
        "newly_allowed": 0,
        "other_rule": 0,
        "unknown": 1,
        "unknown_because": {"the values were not kept": 1},
        "not_concerned": 0,
        "left_out": 0,
    }
    assert [call.decision for call in found.replay.changed] == ["b"]


async def test_only_the_calls_a_policy_is_bound_for_are_replayed(site: PolicySite) -> None:
    await site.people()
    await site.record(
        recorded(id="mine", key_id=site.key, account_id=site.account),
        recorded(id="other", key_id="key_other"),
    )
    await site.store.save("mail", NONE, ACTOR)
    await site.bindings.bind("mail", "key", "robot", ACTOR)
    found = await site.activations.check("mail")

    assert found.bound
    assert found.replay is not None
    assert (found.replay.total, found.replay.skipped) == (1, 1)
    assert [call.decision for call in found.replay.changed] == ["mine"]


async def test_other_policies_in_effect_take_part_in_the_replay(site: PolicySite) -> None:
    await site.record(recorded(id="a", tool="read", args={}))
    await site.store.save("base", 'tool "read" { hard deny always; }', ACTOR)
    await site.bindings.bind("base", "server", "", ACTOR)
    await site.activations.activate("base", ACTOR)
    await site.store.save("mail", CORP, ACTOR)
    await site.bindings.bind("mail", "server", "", ACTOR)
    found = await site.activations.check("mail")

    assert found.replay is not None
    assert [(call.outcome, call.after_source) for call in found.replay.changed] == [
        ("newly_denied", "base@1")
    ]


async def test_rolling_back_returns_to_the_version_before(site: PolicySite) -> None:
    for text in (CORP, NONE):
        await site.store.save("mail", text, ACTOR)
    with pytest.raises(PolicyStateError, match="no version of `mail` is active"):
        await site.activations.rollback("mail", ACTOR)
    await site.activations.activate("mail", ACTOR, n=1)
    with pytest.raises(PolicyStateError, match="nothing was active before version 1"):
        await site.activations.rollback("mail", ACTOR)
    await site.activations.activate("mail", ACTOR, n=2)

    assert (await site.activations.rollback("mail", ACTOR)).n == 1
    assert await states(site) == {1: "active", 2: "retired"}
    entry = (await site.audit.entries(limit=1))[0]
    assert (entry.action, entry.before, entry.after) == (
        "policy.rollback",
        {"policy": "mail", "version": 2},
        {"policy": "mail", "version": 1},
    )
    with pytest.raises(PolicyStateError, match="nothing was active before version 1"):
        await site.activations.rollback("mail", ACTOR)


async def test_one_version_is_active_and_one_watched_at_most(site: PolicySite) -> None:
    for number in range(4):
        text = f'tool "t{number}" {{ hard deny always; }}'
        await site.store.save("mail", text, ACTOR)
    await site.activations.activate("mail", ACTOR, n=1)
    await site.activations.activate("mail", ACTOR, n=2, shadow=True)
    await site.activations.activate("mail", ACTOR, n=3, shadow=True)
    assert await states(site) == {1: "active", 2: "retired", 3: "shadow", 4: "draft"}

    await site.activations.activate("mail", ACTOR, n=3)
    assert await states(site) == {1: "retired", 2: "retired", 3: "active", 4: "draft"}
    for shadow in (False, True):
        with pytest.raises(PolicyStateError, match="version 3 of `mail` is active already"):
            await site.activations.activate("mail", ACTOR, n=3, shadow=shadow)
    with pytest.raises(VersionNotFoundError):
        await site.activations.activate("mail", ACTOR, n=9)


async def test_activations_at_once_leave_one_version_active(site: PolicySite) -> None:
    for number in range(4):
        await site.store.save("mail", f'tool "t{number}" {{ hard deny always; }}', ACTOR)

    await asyncio.gather(*(site.activations.activate("mail", ACTOR, n=n) for n in (1, 2, 3, 4)))

    found = await states(site)
    assert sorted(found.values()) == ["active", "retired", "retired", "retired"]


async def test_a_retired_policy_has_no_effect(site: PolicySite) -> None:
    await site.store.save("mail", CORP, ACTOR)
    await site.bindings.bind("mail", "server", "", ACTOR)
    await site.activations.activate("mail", ACTOR)
    serving = site.serving()
    await serving.load()
    assert await names(serving, site) == ["mail@1"]

    await site.activations.retire("mail", ACTOR)
    assert await serving.refresh()
    assert await names(serving, site) == []
    for shadow in (False, True):
        with pytest.raises(PolicyStateError):
            await site.activations.retire("mail", ACTOR, shadow=shadow)


# the running server


async def test_a_running_server_follows_versions_and_bindings(site: PolicySite) -> None:
    await site.people()
    serving = site.serving()
    await serving.load()
    first = serving.version()
    assert await names(serving, site) == []

    await site.store.save("mail", CORP, ACTOR)
    assert not await serving.refresh()
    await site.activations.activate("mail", ACTOR)
    await site.bindings.bind("mail", "key", "robot", ACTOR)
    assert await serving.refresh()
    assert not await serving.refresh()
    assert serving.version() == first + 1
    assert await names(serving, site) == ["mail@1"]
    assert await names(serving, site, id="key_other") == []

    await site.store.save("mail", NONE, ACTOR)
    await site.activations.activate("mail", ACTOR, shadow=True)
    assert await serving.refresh()
    (active, watched) = serving.of(site.key_info(), "control")
    assert active == PolicySource(name="mail@1", text=CORP)
    assert watched == PolicySource(name="mail@2", text=NONE, enforcement="watch", replaces="mail@1")
    await site.activations.activate("mail", ACTOR)
    assert await serving.refresh()
    assert await names(serving, site) == ["mail@2"]
    await site.bindings.unbind("mail", "key", "robot", ACTOR)
    assert await serving.refresh()
    assert await names(serving, site) == []


async def test_before_the_first_reading_there_is_no_answer(site: PolicySite) -> None:
    with pytest.raises(StoreUnavailable):
        site.serving().of(site.key_info(), "control")


async def test_a_set_that_cannot_be_read_does_not_start_a_server(site: PolicySite) -> None:
    await site.store.save("mail", CORP, ACTOR)
    await site.bindings.bind("mail", "server", "", ACTOR)
    await site.activations.activate("mail", ACTOR)
    async with site.database.transaction() as connection:
        await connection.execute(sql("UPDATE policy_versions SET text = 'must allow;'"))

    with pytest.raises(ActivationRefusedError, match="mail@1"):
        await site.serving().load()
    away = StoredPolicies(Database("postgresql://postgres@127.0.0.1:1/none"), FilePolicies(()))
    with pytest.raises(StoreUnavailable):
        await away.load()


class Counted(StoredPolicies):
    """Tells when it has looked."""

    looked: asyncio.Event | None = None

    async def refresh(self) -> bool:
        try:
            return await super().refresh()
        finally:
            if self.looked is not None:
                self.looked.set()


async def test_a_server_that_loses_the_store_keeps_what_it_knew(site: PolicySite) -> None:
    await site.store.save("mail", CORP, ACTOR)
    await site.bindings.bind("mail", "server", "", ACTOR)
    await site.activations.activate("mail", ACTOR)
    serving = Counted(site.database, FilePolicies(()), refresh_s=0.01)
    await serving.load()
    async with site.database.transaction() as connection:
        await connection.execute(sql("UPDATE policy_versions SET text = 'must allow;', n = 7"))
    serving.looked = asyncio.Event()

    task = asyncio.create_task(serving.run())
    async with asyncio.timeout(5):
        await serving.looked.wait()
        serving.looked.clear()
        await serving.looked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await names(serving, site) == ["mail@1"]


async def test_the_loop_takes_over_a_change_by_itself(site: PolicySite) -> None:
    serving = Counted(site.database, FilePolicies(()), refresh_s=0.01)
    await serving.load()
    task = asyncio.create_task(serving.run())
    await site.store.save("mail", CORP, ACTOR)
    await site.bindings.bind("mail", "server", "", ACTOR)
    await site.activations.activate("mail", ACTOR)

    serving.looked = asyncio.Event()
    async with asyncio.timeout(5):
        while not await names(serving, site):
            serving.looked.clear()
            await serving.looked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await names(serving, site) == ["mail@1"]
