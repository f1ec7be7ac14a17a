"""The policy that is switched on while the gateway is measured: 50 check rules."""

import json

__all__ = ["RULES", "policy_header", "policy_text"]

RULES = 50

_HEAD = """\
let internal = to.value in {str like w"*@example.com"};
let secret = @args.tags overlaps {"secret", w"pii*"};

tool "lookup_order" {
    hard deny when order_id.value in {str matching r".*[;'].*"};
    must allow when order_id.value in {str matching r"[A-Z]-[0-9]{4}"};
}
tool "send_email" {
    hard deny when secret and not internal;
    should allow when internal;
    should deny always;
}
tool "refund_order" {
    session before { @tags |= {"refund_seen"}; }
    must deny when amount.value in {float 500.0<..};
    should allow when amount.value in {float 0.0<..500.0};
}
tool "write_file" {
    must deny when path.value in {str like w"/etc/*"};
    should allow when path.value in {str like w"/work/*"};
}
tool "run_query" {
    must deny when sql.value in {str matching r"(?is).*(drop|delete|update) .*"};
}
tool "read_file" -> @tags |= {"untrusted"};
tool r"(search|read)_.*" {
    should allow always;
}
tool r".*_(email|ticket)" {
    priority 5;
    hard deny when @session.tags overlaps {"quarantined"};
}
"""
"""Twelve check rules over the tools that the requests offer."""


def policy_text() -> str:
    """A policy of `RULES` check rules: those that decide the offered tools, and many others."""
    others = []
    for number in range((RULES - 12) // 2):
        others.append(
            f'tool "service_{number:02d}" {{\n'
            f'    must deny when target.value in {{str like w"prod-{number:02d}-*"}};\n'
            f"    should allow when count.value in {{int 0..{100 + number}}};\n"
            "}\n"
        )
    return _HEAD + "".join(others)


def policy_header(code: str | None = None) -> dict[str, str]:
    """`X-Policy` carrying the policy, as the published clients send it."""
    document = {"mode": "standard", "codes": {"code": code or policy_text(), "language": "sqrt"}}
    return {"X-Policy": json.dumps(document)}
