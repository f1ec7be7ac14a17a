"""What the policy editor offers and explains."""

import json
from pathlib import Path

import pytest
from tests.support.console_site import console_site
from tests.support.console_traffic import decision_of, fill

from interlock.console.colouring import KEYWORDS
from interlock.console.vocabulary import HELP, Part, outline_of, vocabulary_of

pytestmark = pytest.mark.anyio

_TEXT = """\
let ours = to.value in {"x"};
tool r"send_\\"x" {
    must deny always;
    should allow always;
}
// tool "commented" {
tool "other" -> @tags |= {"secret"};
tool "one" { must deny always; }
"""


def test_every_coloured_word_is_explained() -> None:
    assert {word for words in KEYWORDS.values() for word in words} == set(HELP)


def test_an_outline_lists_declarations_with_their_rules() -> None:
    assert outline_of(_TEXT) == [
        Part(line=1, kind="let", name="ours"),
        Part(line=2, kind="tool", name='r"send_\\"x"', rules=2),
        Part(line=7, kind="tool", name='"other"'),
        Part(line=8, kind="tool", name='"one"', rules=1),
    ]


async def test_tools_arguments_and_labels_of_recorded_calls_are_offered_as_text(
    tmp_path: Path,
) -> None:
    async with console_site(tmp_path) as site:
        records = [
            decision_of(site, number, tool=f"tool_{number % 60}", args={f"a{number}": 1, "</x>": 2})
            for number in range(200)
        ]
        offered = vocabulary_of(
            [*records, decision_of(site, 4), decision_of(site, 0, tool="x" * 200)]
        )
        found = json.loads(offered)
        assert len(found["tools"]) == 50
        assert found["tools"]["tool_1"] == ["a1", "a61", "a121", "a181"]
        assert found["labels"] == ["untrusted"]
        assert "</" not in offered

        await fill(site)
        async with site.client("admin") as browser:
            page = (await browser.get("/console/policies/support-bot")).text
            assert "Outline" in page
            assert "read_inbox" in page


async def test_labels_are_given_to_one_argument_or_to_all(tmp_path: Path) -> None:
    policy = 'tool "t" { must deny when body.tags overlaps {"bad"}; should allow always; }'
    async with console_site(tmp_path) as site, site.client("admin") as browser:
        for given, word in (
            ("bad", "Hard denied"),
            ("body=ok bad", "Hard denied"),
            ("to=bad", "Allowed"),
            ("bad, body=ok", "Allowed"),
            ("", "Allowed"),
        ):
            form = {"text": policy, "tool": "t", "args": '{"to": 1, "body": 2}', "arg_tags": given}
            answer = await browser.post(
                "/console/policies/try", data={**form, "csrf": "csrf-admin"}
            )
            assert f"</svg>{word}</span>" in answer.text, given


async def test_a_key_is_made_for_somebody_with_a_policy_of_its_own(tmp_path: Path) -> None:
    async with console_site(tmp_path) as site:
        await fill(site)
        form = {"label": "for mo", "expires": "30", "retention": "full", "tool_pinning": "off"}
        wanted = {**form, "owner": "mo", "policy": "support-bot"}
        async with site.client("admin") as browser:
            send = {"csrf": "csrf-admin"}
            for change in ({"owner": "nobody"}, {"policy": "none"}):
                bad = await browser.post("/console/keys", data={**wanted, **change, **send})
                assert (bad.status_code, "for mo" in bad.text) == (400, True), change
            made = await browser.post("/console/keys", data={**wanted, **send})
            assert "Shown only this once" in made.text
            (key,) = [one for one in await site.app.store.admin.keys() if one.label == "for mo"]
            assert key.user_email == "mo@corp.example"
            page = (await browser.get(f"/console/keys/{key.id}")).text
            assert "/console/policies/support-bot" in page
        async with site.client("member") as browser:
            send = {"csrf": "csrf-member"}
            refused = await browser.post("/console/keys", data={**wanted, **send})
            assert refused.status_code == 403
