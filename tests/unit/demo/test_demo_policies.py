"""What the demo model writes as policy is policy."""

from hypothesis import given
from hypothesis import strategies as st

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
    "send_email",
    "add",
    "get_doc",
    "@a-b.com",
    "x.io",
]
WORDS += [".", "\n", '"', "\\", "/*", "*/", "//", "}", ";", "don't"]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=12).map(" ".join))
def test_any_description_gives_a_policy_that_parses(description: str) -> None:
    parse(write_policy(description, TOOLS))


def test_a_description_without_a_rule_gives_an_empty_policy() -> None:
    assert write_policy("Be nice.", TOOLS).startswith("//")
