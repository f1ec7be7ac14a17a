"""Three policies to begin with, each with tests. Data."""

from dataclasses import dataclass

__all__ = ["STARTERS", "Starter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """A policy somebody can begin with."""

    name: str
    title: str
    about: str
    text: str
    tests: str
    """A test file."""


STARTERS: tuple[Starter, ...] = (
    Starter(
        name="outside-text",
        title="Tag what comes from outside",
        about="After an agent has read what strangers wrote, mail goes to colleagues alone.",
        text="""\
let ours = to.value in {str like w"*@corp.example"};

/// what strangers wrote was read: remember it for the rest of the session
tool "read_inbox" -> session @tags |= {"untrusted"};
tool "send_email" {
    /// from then on nothing leaves the company
    must deny when @session.tags overlaps {"untrusted"} and not ours;
    should allow always;
}
""",
        tests="""\
tests:
  - name: mail to strangers stops after the inbox was read
    session: {tags: [untrusted]}
    call: {tool: send_email, args: {to: eve@evil.example}}
    want: {verdict: hard_denied}
  - name: colleagues still get mail
    session: {tags: [untrusted]}
    call: {tool: send_email, args: {to: ann@corp.example}}
    want: {verdict: soft_allowed}
""",
    ),
    Starter(
        name="recipients",
        title="Allow-list recipients",
        about="Mail goes only to addresses of the company.",
        text="""\
tool "send_email" {
    /// everybody else is denied, because the tool has an allow rule
    must allow when to.value in {str like w"*@corp.example"};
}
""",
        tests="""\
tests:
  - name: colleagues get mail
    call: {tool: send_email, args: {to: ann@corp.example}}
    want: {verdict: hard_allowed}
  - name: strangers get none
    call: {tool: send_email, args: {to: eve@evil.example}}
    want: {verdict: soft_denied}
""",
    ),
    Starter(
        name="amounts",
        title="Approval above an amount",
        about="Refunds above 100 wait for a person, where the key asks for approval.",
        text="""\
tool "issue_refund" {
    /// softly denied: a key with `approval = ask` puts it to a person
    should deny when amount.value in {int 101..};
}
""",
        tests="""\
tests:
  - name: small refunds go through
    call: {tool: issue_refund, args: {amount: 40}}
    want: {verdict: soft_allowed}
  - name: large refunds are put to a person
    call: {tool: issue_refund, args: {amount: 180}}
    want: {verdict: soft_denied}
""",
    ),
)
