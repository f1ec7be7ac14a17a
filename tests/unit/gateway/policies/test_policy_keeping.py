"""Saving, testing and binding policies."""

import asyncio

import pytest
from tests.support.policy_site import ACTOR, PolicySite

from interlock.gateway.policies.errors import (
    ActivationRefusedError,
    BindingNotFoundError,
    InvalidPolicyError,
    PolicyNotFoundError,
    PolicyStateError,
    PolicyTestNotFoundError,
    VersionNotFoundError,
)
from interlock.identity.errors import AccountNotFoundError, KeyNotFoundError
from interlock.identity.model import KeySpec
from interlock.policy.cases import CaseError
from interlock.policy.model import PolicySource

pytestmark = pytest.mark.anyio

DENY = 'tool "pay" { hard deny always; }'
ALLOW = 'tool "pay" { hard allow always; }'
TESTS = """
policy: the text here does not matter
caller: {groups: [finance]}
tests:
  - name: large payments are denied
    session: {tags: [seen]}
    call: {tool: pay, args: {amount: 100}, labels: {amount: {tags: [secret]}}}
    want: {verdict: hard_denied, rule: "pay#0"}
  - name: others are not decided here
    call: {tool: other}
    want: {verdict: soft_allowed}
"""


async def test_every_saved_text_is_a_version_that_never_changes(site: PolicySite) -> None:
    first = await site.store.save("mail", DENY, ACTOR, note="first")
    site.clock.seconds += 5
    second = await site.store.save("mail", ALLOW, ACTOR)
    same = await site.store.save("mail", ALLOW, ACTOR, note="again")
    policy, versions = await site.store.versions("mail")

    assert (first.new, second.new, same.new) == (True, True, False)
    assert [(item.n, item.text, item.note, item.state) for item in versions] == [
        (2, ALLOW, "", "draft"),
        (1, DENY, "first", "draft"),
    ]
    assert versions[0].created_at == versions[1].created_at + 5
    assert (policy.name, policy.language, policy.created_by) == ("mail", "sqrt", ACTOR.name)
    assert (await site.store.version("mail", 1))[1] == first.version
    assert (await site.store.version("mail"))[1].n == 2
    assert await site.actions() == ["policy.save", "policy.save"]


async def test_a_text_that_does_not_compile_is_kept_with_what_is_wrong(site: PolicySite) -> None:
    saved = await site.store.save("mail", 'tool "pay" { must allow; }', ACTOR)

    assert saved.new
    assert saved.findings[0].severity == "error"
    assert saved.findings[0].source == "mail@1"


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("", DENY, ""),
        ("a b", DENY, ""),
        ("x" * 101, DENY, ""),
        ("../x", DENY, ""),
        ("mail", "x" * 1_000_001, ""),
        ("mail", "a\0b", ""),
        ("mail", "a\ud800b", ""),
        ("mail", DENY, "n" * 2001),
    ],
)
async def test_what_cannot_be_kept_is_refused_whole(
    site: PolicySite, name: str, text: str, note: str
) -> None:
    with pytest.raises(InvalidPolicyError):
        await site.store.save(name, text, ACTOR, note=note)

    assert await site.store.summaries() == []
    assert await site.actions() == []


async def test_a_policy_stays_in_its_language(site: PolicySite) -> None:
    await site.store.save("mail", DENY, ACTOR)

    with pytest.raises(PolicyStateError, match="written in sqrt"):
        await site.store.save(
            "mail", "permit(principal, action, resource);", ACTOR, language="cedar"
        )


async def test_policies_of_different_accounts_do_not_meet(site: PolicySite) -> None:
    await site.people()
    await site.store.save("mail", DENY, ACTOR)
    await site.store.save("mail", ALLOW, ACTOR, account_id=site.account)

    assert (await site.store.version("mail", 1))[1].text == DENY
    assert (await site.store.version("mail", 1, account_id=site.account))[1].text == ALLOW
    with pytest.raises(PolicyNotFoundError):
        await site.store.version("mail", account_id="acc_other")
    with pytest.raises(AccountNotFoundError):
        await site.store.save("mail", DENY, ACTOR, account_id="acc_other")
    with pytest.raises(InvalidPolicyError, match="belongs to an account"):
        await site.bindings.bind("mail", "server", "", ACTOR, account_id=site.account)
    bound = await site.bindings.bind("mail", "key", "robot", ACTOR, account_id=site.account)
    assert (bound.target, bound.account_id) == (site.key, site.account)


async def test_unknown_policies_and_versions_are_named(site: PolicySite) -> None:
    with pytest.raises(PolicyNotFoundError, match="no policy `mail`"):
        await site.store.version("mail")
    await site.store.save("mail", DENY, ACTOR)
    with pytest.raises(VersionNotFoundError, match="no version 7"):
        await site.store.version("mail", 7)


async def test_versions_saved_at_once_get_different_numbers(site: PolicySite) -> None:
    await site.store.save("mail", DENY, ACTOR)

    async def save(number: int) -> int:
        text = f'tool "pay{number}" {{ hard deny always; }}'
        return (await site.store.save("mail", text, ACTOR)).version.n

    numbers = await asyncio.gather(*(save(number) for number in range(4)))

    assert sorted(numbers) == [2, 3, 4, 5]


# tests


async def test_tests_are_kept_one_by_one_with_their_settings(site: PolicySite) -> None:
    await site.store.save("pay", DENY, ACTOR)
    await site.store.add_tests("pay", [("pay.yaml", TESTS)], ACTOR)
    version, tests, results = await site.store.run_tests("pay")

    assert [(item.name, item.passed) for item in results] == [
        ("large payments are denied", True),
        ("others are not decided here", True),
    ]
    assert tests[0].document["caller"] == {"groups": ["finance"]}
    assert "policy" not in tests[0].document
    assert version.n == 1
    await site.store.save("pay", ALLOW, ACTOR)
    _, _, results = await site.store.run_tests("pay")
    assert [item.passed for item in results] == [False, True]
    assert "expected 'hard_denied', got 'hard_allowed'" in results[0].problems[0]


async def test_a_test_of_the_same_name_is_replaced_and_can_be_removed(site: PolicySite) -> None:
    await site.store.save("pay", DENY, ACTOR)
    one = "tests: [{name: t, call: {tool: pay}, want: {verdict: soft_allowed}}]"
    await site.store.add_tests("pay", [("a.yaml", one)], ACTOR)
    await site.store.add_tests(
        "pay", [("a.yaml", one.replace("soft_allowed", "hard_denied"))], ACTOR
    )
    _, tests, results = await site.store.run_tests("pay")
    assert [item.passed for item in results] == [True]

    await site.store.remove_test("pay", "t", ACTOR)
    assert (await site.store.run_tests("pay"))[1] == []
    with pytest.raises(PolicyTestNotFoundError):
        await site.store.remove_test("pay", "t", ACTOR)
    assert tests[0].author == ACTOR.name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tests: [{call: {tool: pay}}]", "needs a `name`"),
        ("tests: []", "no tests"),
        ("tests: [{name: t, call: {tool: pay}}]\nrejects: []", "`rejects` cannot be stored"),
        ("tests: [{name: t, call: {tool: 7}}]", "`tool`"),
        ("tests: [{name: t, call: {tool: pay}}, {name: t, call: {tool: pay}}]", "two tests"),
        ("tests: [{name: t, call: {tool: pay, args: {x: .nan}}}]", "JSON cannot carry"),
        ("policies: [{text: a}, {text: b}]\ntests: [{name: t, call: {tool: p}}]", "2 policies"),
        ("{", "no valid YAML"),
        ("tests: [{name: t, nonsense: 1}]", "unknown key"),
    ],
)
async def test_tests_that_cannot_be_kept_leave_nothing_behind(
    site: PolicySite, text: str, told: str
) -> None:
    await site.store.save("pay", DENY, ACTOR)
    good = "tests: [{name: good, call: {tool: pay}}]"

    with pytest.raises(CaseError, match=told):
        await site.store.add_tests("pay", [("good.yaml", good), ("bad.yaml", text)], ACTOR)

    assert (await site.store.run_tests("pay"))[1] == []


# bindings


async def test_bindings_apply_by_order_then_from_the_server_down_to_the_key(
    site: PolicySite,
) -> None:
    await site.people()
    for name in ("early", "key", "account", "surface", "server"):
        text = f'tool "{name}" {{ hard deny always; }}'
        await site.store.save(name, text, ACTOR)
        await site.activations.activate(name, ACTOR)
    await site.bindings.bind("key", "key", "robot", ACTOR)
    await site.bindings.bind("account", "account", site.account, ACTOR)
    await site.bindings.bind("surface", "surface", "control", ACTOR)
    await site.bindings.bind("server", "server", "", ACTOR)
    await site.bindings.bind("early", "key", site.key, ACTOR, position=-1)
    policies = await site.store.current()

    def names(*who: str) -> str:
        return " ".join(source.name for source in policies.sources(*who))

    everything = "early@1 server@1 surface@1 account@1 key@1"
    assert names(site.account, site.key, "control") == everything
    assert names(site.account, "key_other", "control") == "server@1 surface@1 account@1"
    assert names("acc_other", "key_other", "chat") == "server@1"


async def test_a_policy_bound_twice_holds_once_and_binding_again_moves_it(
    site: PolicySite,
) -> None:
    await site.people()
    await site.store.save("mail", DENY, ACTOR)
    await site.activations.activate("mail", ACTOR)
    first = await site.bindings.bind("mail", "server", "", ACTOR)
    await site.bindings.bind("mail", "key", "robot", ACTOR)
    moved = await site.bindings.bind("mail", "server", "", ACTOR, position=3)
    again = await site.bindings.bind("mail", "server", "", ACTOR, position=3)
    policies = await site.store.current()

    assert (moved.id, moved.position) == (first.id, 3)
    assert again == moved
    assert len(policies.bindings) == 2
    assert [item.name for item in policies.sources(site.account, site.key, "control")] == ["mail@1"]
    assert (await site.actions()).count("policy.bind") == 3


async def test_targets_that_do_not_exist_are_refused(site: PolicySite) -> None:
    await site.people()
    await site.admin.create_key(KeySpec(label="twin"), ACTOR)
    await site.admin.create_key(KeySpec(label="twin"), ACTOR)
    await site.store.save("mail", DENY, ACTOR)

    with pytest.raises(KeyNotFoundError):
        await site.bindings.bind("mail", "key", "nobody", ACTOR)
    with pytest.raises(InvalidPolicyError, match="2 keys"):
        await site.bindings.bind("mail", "key", "twin", ACTOR)
    with pytest.raises(AccountNotFoundError):
        await site.bindings.bind("mail", "account", "acc_x", ACTOR)
    with pytest.raises(InvalidPolicyError, match="not a surface"):
        await site.bindings.bind("mail", "surface", "moon", ACTOR)
    with pytest.raises(InvalidPolicyError, match="order"):
        await site.bindings.bind("mail", "server", "", ACTOR, position=10**9)
    with pytest.raises(BindingNotFoundError, match="not bound to key nobody"):
        await site.bindings.unbind("mail", "key", "nobody", ACTOR)
    assert (await site.store.current()).bindings == []


async def test_a_key_is_unbound_by_its_label_too(site: PolicySite) -> None:
    await site.people()
    await site.store.save("mail", DENY, ACTOR)
    await site.bindings.bind("mail", "key", site.key, ACTOR)

    await site.bindings.unbind("mail", "key", "robot", ACTOR)

    assert (await site.store.current()).bindings == []
    assert (await site.actions())[-1] == "policy.unbind"


async def test_two_texts_may_use_one_name_for_different_things(site: PolicySite) -> None:
    await site.people()
    for name in ("one", "two"):
        text = f'let home = {{"{name}"}};\ntool "{name}" {{ hard deny when x.tags overlaps home; }}'
        await site.store.save(name, text, ACTOR)
        await site.activations.activate(name, ACTOR)

    await site.bindings.bind("one", "server", "", ACTOR)
    await site.bindings.bind("two", "key", "robot", ACTOR)


async def test_what_does_not_compile_with_the_rest_cannot_be_bound(site: PolicySite) -> None:
    site.files = [PolicySource(name="base.sqrt", text="must allow;")]
    await site.store.save("mail", DENY, ACTOR)

    with pytest.raises(ActivationRefusedError) as refused:
        await site.bindings.bind("mail", "server", "", ACTOR)

    assert refused.value.problems[0] == "binding `mail` to the server is refused:"
    assert "base.sqrt" in refused.value.problems[1]
    assert (await site.store.current()).bindings == []
