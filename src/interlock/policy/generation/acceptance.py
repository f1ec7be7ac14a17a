"""Whether a generated text may be used, and the form in which it is.

Stricter than compiling alone: tools and arguments must be declared ones, conditions on
the caller are refused unless the description asks for them, and a policy that says
nothing is no answer to a description. What is accepted is printed anew from its syntax tree:
in the published language only, with a quotation before each rule, and compiled once more.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from interlock.policy.advice import KnownTools, diagnose, unknown_names
from interlock.policy.checker import Checked, check
from interlock.policy.compiled import compile_policy
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.generation.answers import MAX_ANSWER_CHARS, notes_of
from interlock.policy.generation.quotes import with_quotes
from interlock.policy.model import Caller, PolicySource, Presets
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.printer import print_program
from interlock.policy.syntax.walk import walk

__all__ = ["SOURCE", "Accepted", "accept"]

SOURCE = "generated policy"
"""How messages name the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A text that compiles."""

    text: str
    """Empty when there is nothing to say, and that was allowed."""
    warnings: tuple[Diagnostic, ...]
    """About the text as it was written: what compiles and may not mean what it says."""


def accept(
    code: str,
    *,
    description: str,
    declared: KnownTools | None,
    may_be_empty: bool,
    whole: bool = True,
) -> Accepted:
    """The text to use for generated code.

    `declared` None: nobody said which tools there are, so any may be named. What is not
    `whole` cannot be used, even where it compiles.

    Raises:
        PolicyError: it cannot be used; every finding has its place in `code`.
    """
    if not whole:
        raise _refused("the answer was cut off at its token limit", "write a shorter policy")
    if len(code) > MAX_ANSWER_CHARS:
        raise _refused(f"the policy is longer than {MAX_ANSWER_CHARS} characters")
    checked = check(code, SOURCE)
    problems = list(_problems(checked, declared, description))
    if problems:
        raise PolicyError(problems)
    if not any(map(_says_something, checked.program.declarations)):
        if may_be_empty:
            return Accepted(text="", warnings=())
        raise _refused(
            "the policy has no rule about any tool",
            "write at least one rule, or say what the description leaves open",
        )
    notes = "".join(f"{note}\n" for note in notes_of(code))
    text = notes + print_program(with_quotes(checked.program, description), modal=True)
    source = PolicySource(name=SOURCE, text=text)
    compile_policy([source], presets=Presets(), caller=Caller())
    return Accepted(text=text, warnings=checked.warnings)


def _refused(message: str, help_text: str | None = None) -> PolicyError:
    return PolicyError([Diagnostic(message=message, source=SOURCE, help=help_text)])


def _says_something(item: n.Declaration) -> bool:
    if isinstance(item, n.ToolDecl):
        return any(
            isinstance(member, n.CheckRule)
            or (isinstance(member, n.UpdateBlock) and bool(member.statements))
            for member in item.members
        )
    return isinstance(item, n.Shorthand)


def _problems(
    checked: Checked, declared: KnownTools | None, description: str
) -> Iterator[Diagnostic]:
    scope = checked.scope
    if declared is not None:
        seen: set[tuple[int, int, str]] = set()
        for item in checked.program.declarations:
            if isinstance(item, n.Let):
                continue
            for found in unknown_names(item, scope, declared, "error"):
                place = (found.line, found.column, found.message)
                if place not in seen:
                    seen.add(place)
                    yield found
    if "@caller" not in description:
        for node in _callers(checked.program.declarations):
            yield diagnose(
                scope,
                node,
                "conditions on the caller are not part of the published language",
                "use arguments and labels only",
                "error",
            )


def _callers(declarations: Collection[n.Declaration]) -> Iterator[n.Node]:
    for item in declarations:
        for node in walk(item):
            if isinstance(node, n.Meta) and node.scope == "caller":
                yield node
