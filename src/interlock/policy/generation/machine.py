"""The loop that turns a description into a policy, as a machine without input or output.

`begin` gives the first question; `answered` takes the answer to it and gives the next
step: another question, the policy, or the reason why there is none. A driver asks the
questions, meters them, and stops whenever it wants to.

An answer that does not pass is asked for again with what is wrong with it, up to
`retries` times. An answer that compiles with warnings (a pattern that can match
exactly one text, say) is also asked about, once; if nothing better comes it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.policy.advice import KnownTools
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.generation.acceptance import accept
from interlock.policy.generation.answers import code_of
from interlock.policy.generation.prompting import Purpose, again, question, system_prompt
from interlock.policy.generation.signatures import ToolSignature

__all__ = ["MAX_RETRIES", "Ask", "Done", "Failed", "Generation", "Step", "Wanted"]

MAX_RETRIES = 20
"""More do not help: whoever asks for more gets these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to write."""

    description: str
    tools: tuple[ToolSignature, ...] = ()
    """All tools there are; none: any tool may be named."""
    retries: int = 3
    """Questions after the first one."""
    purpose: Purpose = "description"
    """With `request`, the description is what a user asks an agent for, and a policy that
    restricts nothing is an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Ask the policy model this. The system prompt begins with the line of its role."""

    system: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A policy that compiles, with a quotation before every rule."""

    code: str
    """Empty: nothing needs to be restricted (purpose `request` only)."""
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No answer could be used."""

    problems: tuple[Diagnostic, ...]
    """Of the last answer; never empty."""
    code: str
    """The last answer's code."""
    tries: int

    @property
    def message(self) -> str:
        """The first problem with its place and the source line."""
        return self.problems[0].render()


Step = Ask | Done | Failed


class Generation:
    """One policy in the making."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._left = max(0, min(wanted.retries, MAX_RETRIES))
        self._tries = 0
        self._spare: Done | None = None
        """A policy with warnings, for the case that nothing better comes."""
        self._question = question(wanted.purpose, wanted.description, wanted.tools)
        self._declared: KnownTools | None = None
        if wanted.tools:
            self._declared = {tool.name: tool.arguments for tool in wanted.tools}

    def begin(self) -> Ask:
        """The first question."""
        return Ask(system=system_prompt(), user=self._question)

    def answered(self, answer: str, *, cut: bool = False) -> Step:
        """What to do after an answer to the last question.

        `cut`: it ends where its token limit was reached. Half a policy forbids too little.
        """
        self._tries += 1
        code = code_of(answer)
        try:
            accepted = accept(
                code,
                description=self._wanted.description,
                declared=self._declared,
                may_be_empty=self._wanted.purpose == "request",
                whole=not cut,
            )
        except PolicyError as error:
            if self._left:
                return self._again(code, error.diagnostics)
            if self._spare is not None:
                return self._finished(self._spare.code)
            return Failed(problems=error.diagnostics, code=code, tries=self._tries)
        if accepted.warnings and self._left and self._spare is None:
            self._spare = Done(code=accepted.text, tries=self._tries)
            return self._again(code, accepted.warnings)
        return self._finished(accepted.text)

    def _finished(self, code: str) -> Done:
        return Done(code=code, tries=self._tries)

    def _again(self, code: str, problems: Sequence[Diagnostic]) -> Ask:
        self._left -= 1
        return Ask(system=system_prompt(), user=again(self._question, code, problems))
