"""Deciding recorded calls again."""

import json
from typing import Any

import msgspec
import pytest
from tests.support.policy_site import NOW, PolicySite, recorded

from interlock.gateway.history import DecisionFilter
from interlock.gateway.policies.replaying import ReplaySummary
from interlock.gateway.policies.request_texts import RequestTexts
from interlock.gateway.records import DecisionRecord
from interlock.gateway.rules import digest_of_source
from interlock.policy.compiled import compile_policy
from interlock.policy.model import (
    Caller,
    Labels,
    LabelSet,
    PolicySource,
    Presets,
    Session,
    ToolCall,
)

pytestmark = pytest.mark.anyio

HEADER = PolicySource(name="X-Policy", text='tool "send_email" { hard deny always; }')


async def replayed(
    site: PolicySite, record: DecisionRecord, text: str, **options: Any
) -> tuple[str, str | None]:
    """Outcome and, when unknown, why."""
    await site.record(record)
    found = await replay(site, text, **options)
    (outcome,) = [name for name, count in found.counts.items() if count]
    return outcome, next(iter(found.unknown), None)


async def replay(site: PolicySite, text: str, **options: Any) -> ReplaySummary:
    sources = [PolicySource(name="new", text=text)] if text else []
    wanted = options.pop("wanted", DecisionFilter())
    return await site.replays.run(wanted, lambda _: sources, until=NOW, **options)


DENY = 'tool "send_email" { hard deny always; }'
ALLOW = 'tool "send_email" { hard allow always; }'
TAGGED = 'tool "send_email" { hard deny when %s overlaps {"secret"}; }'
CALLER = 'tool "send_email" { hard deny when @caller.%s overlaps {"finance"}; }'
COUNTED = (
    'tool "send_email" { session before { @tags |= {"again"}; }'
    ' hard deny when "again" in @session.tags; }'
)
RULE = {"verdict": "hard_denied", "reason": "rule", "rule": "send_email#0"}
SECRET = {"tags": ["secret"], "producers": [], "consumers": ["*"]}


@pytest.mark.parametrize(
    ("members", "text", "outcome"),
    [
        ({}, "", "same"),
        ({}, DENY, "newly_denied"),
        ({}, ALLOW, "other_rule"),
        (RULE, DENY, "same"),
        (RULE, ALLOW, "newly_allowed"),
        (RULE, DENY.replace("hard", "soft"), "other_rule"),
        (RULE | {"rule": "send_email#4"}, DENY, "other_rule"),
        ({}, TAGGED % "to.tags", "same"),
        ({"labels": {"args": {"to": SECRET}}}, TAGGED % "to.tags", "newly_denied"),
        ({"labels": {"session": SECRET}}, TAGGED % "@session.tags", "newly_denied"),
        ({"labels": {"updated": {"session": SECRET}}}, TAGGED % "@session.tags", "same"),
        ({}, COUNTED, "newly_denied"),
        ({}, CALLER % "groups", "same"),
        ({"caller": {"groups": ["finance"]}}, CALLER % "groups", "newly_denied"),
        ({"caller": {"roles": ["finance"]}}, CALLER % "roles", "newly_denied"),
        ({"caller": {"key": "finance"}}, CALLER % "key", "newly_denied"),
        ({"caller": {"account": "finance"}}, CALLER % "account", "newly_denied"),
        ({"basis": {"presets": {"default_allow": False}}}, "", "newly_denied"),
        (RULE | {"reason": "guard", "rule": None}, "", "same"),
        (RULE | {"reason": "guard", "rule": None}, ALLOW, "same"),
        (RULE | {"reason": "guard", "rule": None}, DENY, "other_rule"),
        (RULE | {"reason": "pinning", "rule": None}, ALLOW, "same"),
        ({"basis": {"values": "masked"}, "args": {"to": 7}}, DENY, "newly_denied"),
        ({"args": {"to": "[masked]"}}, DENY, "newly_denied"),
    ],
)
async def test_a_call_is_decided_on_what_it_came_with(
    site: PolicySite, members: dict[str, Any], text: str, outcome: str
) -> None:
    assert await replayed(site, recorded(**members), text) == (outcome, None)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"args": None}, "the values were not kept"),
        (
            {"args": {"to": {"deep": ["[masked]"]}}, "basis": {"values": "masked"}},
            "the values were masked",
        ),
        (RULE | {"reason": "error"}, "the decision had failed"),
        (RULE | {"reason": "arguments", "args": None}, "the arguments were not a JSON object"),
        ({"labels": {"session": 7}}, "the record is not readable"),
        ({"basis": {"presets": {"no_such": 1}}}, "the record is not readable"),
    ],
)
async def test_what_cannot_be_known_is_counted_and_not_guessed(
    site: PolicySite, members: dict[str, Any], why: str
) -> None:
    assert await replayed(site, recorded(**members), DENY) == ("unknown", why)


async def test_a_record_of_an_older_version_is_unknown(site: PolicySite) -> None:
    old = msgspec.structs.replace(recorded(), basis={})
    assert await replayed(site, old, DENY) == ("unknown", "recorded by an older version")


async def test_the_policy_of_the_request_is_put_on_top_when_asked_for(site: PolicySite) -> None:
    texts = RequestTexts(site.database, site.clock)
    texts.keep(HEADER)
    await texts.flush()
    kept = recorded(id="kept", basis={"header": digest_of_source(HEADER)}, **RULE)
    await site.record(kept, recorded(id="lost", basis={"header": "0" * 64}, **RULE))

    alone = await replay(site, "")
    layered = await replay(site, "", headers=True)

    assert alone.counts["newly_allowed"] == 2
    assert layered.counts["same"] == 1
    assert dict(layered.unknown) == {"the policy of the request was not kept": 1}


async def test_a_key_that_may_override_is_replayed_with_its_own_policy_alone(
    site: PolicySite,
) -> None:
    header = PolicySource(name="X-Policy", text=ALLOW)
    texts = RequestTexts(site.database, site.clock)
    texts.keep(header)
    await texts.flush()
    basis = {"header": digest_of_source(header), "override": True}
    record = recorded(verdict="hard_allowed", reason="rule", rule="send_email#0", basis=basis)

    assert await replayed(site, record, DENY, headers=True) == ("same", None)


async def test_filters_and_limits_choose_the_calls(site: PolicySite) -> None:
    await site.record(
        *(recorded(id=f"d{n}", at=NOW - 100 + n) for n in range(450)),
        recorded(id="later", at=NOW + 1000),
    )
    seen: list[tuple[int, int]] = []

    def progress(done: int, of: int) -> None:
        seen.append((done, of))

    everything = await replay(site, DENY, progress=progress)
    assert (everything.total, everything.left_out) == (100, 0)
    newest = await replay(site, DENY, limit=30)
    assert (newest.total, newest.left_out) == (30, 70)
    assert [call.decision for call in newest.changed] == [f"d{n}" for n in range(70, 100)]
    some = await replay(site, DENY, wanted=DecisionFilter(since=NOW - 10, tool="send_*"))
    assert some.total == 10
    assert (await replay(site, DENY, wanted=DecisionFilter(tool="other"))).total == 0
    assert seen == [(100, 100)]


async def test_what_a_watched_policy_said_is_counted(site: PolicySite) -> None:
    def seen(name: str, verdict: str, rule: str | None = None) -> dict[str, Any]:
        return {"shadow": [{"policy": name, "verdict": verdict, "rule": rule}]}

    await site.record(
        recorded(id="denied", **seen("mail@2", "hard_denied", "send_email#0")),
        recorded(id="same", **seen("mail@2", "soft_allowed")),
        recorded(id="older", **seen("mail@1", "hard_denied", "send_email#0")),
        recorded(id="other", **seen("mailbox@2", "hard_denied")),
        recorded(id="none"),
    )

    found = await site.replays.watched(DecisionFilter(), "mail@2", until=NOW)
    assert (found.counts["newly_denied"], found.counts["same"], found.skipped) == (1, 1, 3)
    found = await site.replays.watched(DecisionFilter(), "mail", until=NOW)
    assert sorted(call.decision for call in found.changed) == ["denied", "older"]


async def test_a_text_is_kept_once_and_as_long_as_it_is_used(site: PolicySite) -> None:
    texts = RequestTexts(site.database, site.clock)
    basis = {"header": digest_of_source(HEADER)}
    await site.record(recorded(id="x", basis=basis, **RULE))
    texts.keep(HEADER)
    await texts.flush()
    site.clock.seconds += 5000
    texts.keep(PolicySource(name="X-Policy", text=HEADER.text))
    await texts.flush()

    assert await texts.purge(before=NOW + 4000) == 0
    assert (await replay(site, "", headers=True)).counts["same"] == 1
    assert await texts.purge(before=NOW + 6000) == 1
    assert (await replay(site, "", headers=True)).counts["unknown"] == 1


@pytest.mark.parametrize(
    "labels",
    [
        Labels(),
        Labels.of(tags=["a"], consumers=["hr"]),
        Labels(consumers=LabelSet(frozenset(), True)),
        Labels(tags=LabelSet(frozenset(), True), consumers=LabelSet(frozenset({"x"}), True)),
        Labels.of(tags=["a"]).with_worlds(
            {
                "bound": Labels.of(tags=["b"]),
                "watch:m": Labels(consumers=LabelSet(frozenset(), True)),
            }
        ),
    ],
)
def test_labels_come_back_from_a_record_as_they_were(labels: Labels) -> None:
    record = json.loads(json.dumps(labels.to_record()))
    found = Labels.from_record(record)

    assert found == labels
    assert found.consumers.untouched is labels.consumers.untouched
    assert found.tags.untouched is labels.tags.untouched
    assert {n: w.consumers.untouched for n, w in found.worlds.items()} == {
        n: w.consumers.untouched for n, w in labels.worlds.items()
    }


def test_a_watched_version_is_decided_in_the_place_of_the_enforced_one() -> None:
    old = PolicySource(name="mail@1", text=DENY)
    new = PolicySource(name="mail@2", text=ALLOW, enforcement="watch", replaces="mail@1")
    policy = compile_policy([old, new], presets=Presets(), caller=Caller())
    decision = policy.decide(ToolCall(tool="send_email", args={}), Session())

    assert decision.verdict == "hard_denied"
    assert decision.shadow == [
        {"policy": "mail@2", "verdict": "hard_allowed", "rule": "send_email#0"}
    ]
