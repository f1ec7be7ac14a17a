"""What the demo model writes as policy is policy, and what the description asks for."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.policy.compiled import compile_policy
from interlock.policy.generation import Done, Generation, ToolSignature, Wanted, signature
from interlock.policy.generation.signatures import listing
from interlock.policy.model import Caller, Labels, PolicySource, Presets, Session, ToolCall
from interlock.policy.syntax.parser import parse
from interlock.providers.demo.policies import write_policy
from interlock.providers.demo.tools import known_tools

TOOLS = known_tools([], "def send_email(to: str):\ndef add(a: int):\ndef get_doc(id: str):\n")
WORDS = [
    "only",
    "never",
    "allow",
    "may",
    "deny",
    "after",
    "except",
    "above 5",
    "everything else",
    "must be approved",
    "send_email",
    "add",
    "get_doc",
    "@a-b.com",
    "x.io",
]
WORDS += [".", ",", "\n", '"', "\\", "/*", "*/", "//", "}", ";", "don't", '"a b"', "'c'"]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=12).map(" ".join))
def test_any_description_gives_a_policy_that_parses(description: str) -> None:
    parse(write_policy(description, TOOLS))
    parse(write_policy(description, []))


def test_a_description_without_a_rule_gives_an_empty_policy() -> None:
    assert write_policy("Be nice.", TOOLS).startswith("//")


def _tool(name: str, **kinds: str) -> ToolSignature:
    properties = {key: {"type": kind} for key, kind in kinds.items()}
    return signature(name, f"Does {name}", {"type": "object", "properties": properties})


SIGNATURES = (
    _tool("send_email", to="string", body="string"),
    _tool("read_page", url="string"),
    _tool("pay", amount="number", account="string"),
    _tool("deleteFile", path="string"),
    _tool("post_message", channel="string", text="string"),
    _tool("invite", recipients="array"),
)
MAIL: dict[str, Any] = {"send_email": {"to": "ann@corp.example"}}
EVE: dict[str, Any] = {"send_email": {"to": "eve@evil.example"}}


def policy(description: str, tools: Sequence[ToolSignature] = SIGNATURES) -> str:
    """Through the prompt and the checks, as in the product."""
    machine = Generation(Wanted(description=description, tools=tuple(tools), retries=0))
    code = write_policy(description, known_tools([], listing(tools)))
    step = machine.answered(f"```sqrt\n{code}```")
    assert isinstance(step, Done), (step, code)
    return step.code


def verdict(code: str, call: dict[str, Any], session: Session | None = None) -> str:
    compiled = compile_policy(
        [PolicySource(name="demo", text=code)], presets=Presets(), caller=Caller()
    )
    ((tool, args),) = call.items()
    return compiled.decide(ToolCall(tool=tool, args=args), session or Session()).verdict.value


@pytest.mark.parametrize(
    ("description", "allowed", "denied"),
    [
        ("Only allow mail to addresses ending in @corp.example.", MAIL, EVE),
        ("Mail must stay within corp.example", MAIL, EVE),
        ("Do not send e-mail except to @corp.example", MAIL, EVE),
        ("Allow sending emails to @corp.example", MAIL, EVE),
        ("Send emails to nobody but ann@corp.example", MAIL, EVE),
        ("Never send mail to evil.example or @bad.example", MAIL, EVE),
        ("Mail to EVIL.example is forbidden", MAIL, EVE),
        ("Allow send_email unless it goes to @evil.example", MAIL, EVE),
        ("Only invite people from @a.example and @b.example",
         {"invite": {"recipients": ["x@a.example", "y@b.example"]}},
         {"invite": {"recipients": ["x@a.example", "y@c.example"]}}),
        ("Never delete files", {"read_page": {"url": "x"}}, {"deleteFile": {"path": "/a"}}),
        ("forbid `deleteFile`", {"read_page": {}}, {"deleteFile": {}}),
        ("allow read_page, forbid deleteFile", {"read_page": {}}, {"deleteFile": {}}),
        ("You may read pages but you must not delete files", {"read_page": {}},
         {"deleteFile": {}}),
        ("Only read_page may be used", {"read_page": {}}, {"pay": {"amount": 1}}),
        ("Allow read_page and deny everything else", {"read_page": {}}, MAIL),
        ("Nothing may be deleted: deny all tools", {"unknown": {}}, {"read_page": {}}),
        ("Payments above 1,000 are forbidden", {"pay": {"amount": 1000}},
         {"pay": {"amount": 1000.5}}),
        ("Only payments up to $100 are allowed", {"pay": {"amount": 100}},
         {"pay": {"amount": 101}}),
        ("Never pay amounts of 50 or more", {"pay": {"amount": 49}}, {"pay": {"amount": 50}}),
        ("Don't use pay with an amount of more than 10k", {"pay": {"amount": 10_000}},
         {"pay": {"amount": 10_001}}),
        ("Payments of no more than 5 are allowed", {"pay": {"amount": 5}}, {"pay": {"amount": 6}}),
        ('Never delete files under "/etc"', {"deleteFile": {"path": "/tmp/x"}},
         {"deleteFile": {"path": "/etc/passwd"}}),
        ('Only post messages to the channel "general"',
         {"post_message": {"channel": "general"}}, {"post_message": {"channel": "random"}}),
        ('Never delete files ending in ".db"', {"deleteFile": {"path": "a.txt"}},
         {"deleteFile": {"path": "a.db"}}),
    ],
)  # fmt: skip
def test_the_policy_does_what_the_description_says(
    description: str, allowed: dict[str, Any], denied: dict[str, Any]
) -> None:
    code = policy(description)

    assert verdict(code, allowed).endswith("_allowed"), code
    assert verdict(code, denied).endswith("_denied"), code
    assert "// not covered" not in code


@pytest.mark.parametrize(
    "description",
    [
        "After reading a page, no mail may be sent.",
        "Never send e-mail after reading a page",
        "Once read_page was called, forbid send_email",
        "once a page is read, block all mail",
        "As soon as read_page has been used, deny everything.",
    ],
)
def test_what_was_done_before_forbids_what_comes_after(description: str) -> None:
    code = policy(description)
    compiled = compile_policy(
        [PolicySource(name="demo", text=code)], presets=Presets(), caller=Caller()
    )
    read = ToolCall(tool="read_page", args={"url": "x"})
    before = compiled.decide(read, Session())
    after = compiled.result(read, "page", Labels(), before.session)

    assert before.verdict.allowed
    assert verdict(code, MAIL).endswith("_allowed")
    assert verdict(code, MAIL, after.session) == "hard_denied"


@pytest.mark.parametrize(
    "description",
    ["Payments over 500 need approval", "Amounts of 501 or more must be confirmed by a person"],
)
def test_what_needs_approval_is_denied_softly(description: str) -> None:
    code = policy(description)

    assert verdict(code, {"pay": {"amount": 500}}).endswith("_allowed")
    assert verdict(code, {"pay": {"amount": 501}}) == "soft_denied"


@pytest.mark.parametrize(
    "description",
    [
        "Never invite @evil.example",  # a list with one bad element would get through
        "Do not pay if it is raining",
        "Only pay on weekdays",
        'Never post "a" or "b"',
    ],
)
def test_what_no_template_fits_is_said_and_not_guessed(description: str) -> None:
    code = policy(f"Never delete files. {description}.")

    assert f"// not covered: {description}" in code
    assert verdict(code, {"invite": {"recipients": ["a@evil.example"]}}).endswith("_allowed")


def test_without_declared_tools_marked_names_are_tools() -> None:
    code = policy("Never call `rm`; forbid drop_table.", tools=())

    assert verdict(code, {"rm": {}}) == "hard_denied"
    assert verdict(code, {"drop_table": {}}) == "hard_denied"
    assert verdict(code, {"other": {}}).endswith("_allowed")
    assert verdict(policy("Deny everything", tools=()), {"other": {}}) == "hard_denied"
