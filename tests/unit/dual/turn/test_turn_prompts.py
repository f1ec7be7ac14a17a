"""Prompt templates: every one there, in agreement with what the headers accept."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from interlock.dual import prompts
from interlock.dual.compile import compile_program
from interlock.dual.prompts import FLAVORS, LATEST, VERSIONS, fill, system_prompt, template
from interlock.gateway.config import PROMPT_FLAVORS, PROMPT_VERSIONS
from interlock.kernel.roles import role_of

FOLDER = Path(prompts.__file__).parent
ELSEWHERE = {"tagllm": "interlock.policy.guards", "policy_llm": "interlock.policy.generation"}
"""Roles whose prompts belong to the guards and to policy generation, and the packages of these."""


def test_headers_and_templates_agree() -> None:
    assert {role: flavors for role, flavors in FLAVORS.items() if role != "selector"} == {
        role: flavors for role, flavors in PROMPT_FLAVORS.items() if role not in ELSEWHERE
    }
    assert set(PROMPT_VERSIONS) == {LATEST, *VERSIONS}


@pytest.mark.parametrize("role", ELSEWHERE)
def test_prompts_of_other_packages_are_files_of_the_same_flavours_and_versions(role: str) -> None:
    prompts_of = files(ELSEWHERE[role]) / "prompts"
    there = {
        (flavor.name, version.name)
        for flavor in prompts_of.iterdir()
        for version in flavor.iterdir()
    }

    assert there == {(flavor, one) for flavor in PROMPT_FLAVORS[role] for one in VERSIONS}


def test_every_file_is_listed_and_every_listed_one_is_there() -> None:
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.md")}

    assert there == {
        f"{role}/{flavor}/{version}.md"
        for role, flavors in FLAVORS.items()
        for flavor in flavors
        for version in VERSIONS
    }


@pytest.mark.parametrize("role", FLAVORS)
def test_every_prompt_declares_its_role_and_leaves_no_place_open(role: str) -> None:
    for flavor in FLAVORS[role]:  # type: ignore[index]
        text = system_prompt(role, flavor=flavor, version=LATEST)  # type: ignore[arg-type]

        assert role_of(text) == role
        assert "{{" not in text


def test_sections_stand_or_fall_with_their_value() -> None:
    text = "a{{#x}}[{{x}}{{#y}}Y{{/y}}]{{/x}}{{^x}}none{{/x}}"

    assert fill(text, {"x": "1", "y": "yes"}) == "a[1Y]"
    assert fill(text, {"x": "1"}) == "a[1]"
    assert fill(text, {}) == "anone"


def test_a_tag_on_its_own_line_takes_the_line_along() -> None:
    text = "a\n{{#x}}\nb\n{{/x}}\nc{{^x}} no{{/x}}\nd\n"

    assert fill(text, {"x": "1"}) == "a\nb\nc\nd\n"
    assert fill(text, {}) == "a\nc no\nd\n"


@pytest.mark.parametrize("flavor", FLAVORS["pllm"])
@pytest.mark.parametrize("parse", ["", "yes"])
@pytest.mark.parametrize("wrap", ["", "yes"])
def test_the_planners_examples_are_programs(flavor: str, parse: str, wrap: str) -> None:
    values = {"parse": parse, "wrap": wrap}
    text = system_prompt("pllm", flavor=flavor, version=LATEST, values=values)

    examples = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    names = ("read_file", "send_mail", "list_messages", "shell", "write_file", "parse_with_ai")
    assert len(examples) == 2
    for example in examples:
        compile_program(example, names=names)
        assert (".value" in example) is bool(wrap)


def test_inserted_text_is_not_a_template() -> None:
    assert fill("{{x}}", {"x": "{{y}}{{#y}}", "y": "no"}) == "{{y}}{{#y}}"


@pytest.mark.parametrize(
    ("flavor", "version"), [("other", "v1"), ("universal", "v0"), ("../pllm", "v1")]
)
def test_unknown_templates_are_refused(flavor: str, version: str) -> None:
    with pytest.raises(LookupError):
        template("pllm", flavor, version)
