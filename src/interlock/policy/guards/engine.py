"""The content guards of one session: arguments before a call, results after it.

Built from the configured classifiers and blockers; immutable, shared between
requests. The deterministic pass decides alone; what it leaves `undecided` may be
put to a tagging model (`tagllm`) and fed back through `resolve`.

Source: gateway.md section 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from interlock.policy.guards import topics
from interlock.policy.guards.errors import GuardConfigError
from interlock.policy.guards.inspection import TAGS, Inspection
from interlock.policy.guards.model import (
    ArgumentVerdict,
    BlockerLike,
    ClassifierLike,
    ResultVerdict,
    TagScore,
)
from interlock.policy.guards.walk import is_too_deep, walk, walk_members

__all__ = ["BLOCKER_NAMES", "CLASSIFIER_NAMES", "MODES", "Guards", "Scores", "notice"]

CLASSIFIER_NAMES = tuple(TAGS)
BLOCKER_NAMES = ("url_blocker", "file_blocker")
MODES = {"high sensitivity": 0.3, "strict": 0.2, "normal": 0.5, "low sensitivity": 0.8}
"""Named thresholds; a mode overrides the number."""

_Verdict = TypeVar("_Verdict", ArgumentVerdict, ResultVerdict)
Scores = Sequence[TagScore | float | None] | Mapping[int, TagScore | float]
"""Answers of the tagging model to a verdict's questions, by position."""
_Answers = Mapping[tuple[str, str], TagScore]


def notice(tags: Iterable[str]) -> str | None:
    """The line under a final answer whose tool results carried these tags; None without."""
    present = set(tags)
    lines = [line for tag, line in topics.NOTICES.items() if tag in present]
    return " ".join(lines) if lines else None


class Guards:
    """Classifiers and blockers of a session; of several entries of one name the last counts.

    Raises:
        GuardConfigError: an unknown name or mode, or a threshold outside 0..1.
    """

    def __init__(
        self, classifiers: Iterable[ClassifierLike] = (), blockers: Iterable[BlockerLike] = ()
    ) -> None:
        self.thresholds: Mapping[str, float] = {one.name: _threshold(one) for one in classifiers}
        self.blockers: frozenset[str] = frozenset(_blocker(one) for one in blockers)

    @property
    def active(self) -> bool:
        """Whether there is anything to check; when False every check is the identity."""
        return bool(self.thresholds or self.blockers)

    def check_arguments(self, tool: str, args: Mapping[str, Any]) -> ArgumentVerdict:
        """Arguments of a call before it runs: rewritten copy, tags, denial. Never raises."""
        return self._arguments(tool, args, {})

    def check_result(self, value: object, *, replace_toxic: bool = True) -> ResultVerdict:
        """A tool result (text or JSON value) before a model sees it. Never raises.

        `replace_toxic` False only tags abusive text (dual-llm, where the value stays with
        the interpreter).
        """
        return self._result(value, replace_toxic, {})

    def resolve(self, verdict: _Verdict, scores: Scores) -> _Verdict:
        """The verdict once the tagging model has spoken.

        `scores` answers `verdict.undecided` by position; where it has no answer (None, or
        nothing at that position) the text stays as the rules left it.
        """
        given = scores if isinstance(scores, Mapping) else dict(enumerate(scores))
        answers = {}
        for index, question in enumerate(verdict.undecided):
            answer = given.get(index)
            if answer is not None:
                answers[question.guard, question.path] = (
                    answer if isinstance(answer, TagScore) else TagScore(score=float(answer))
                )
        if isinstance(verdict, ArgumentVerdict):
            return self._arguments(verdict.tool, verdict.original, answers)
        return self._result(verdict.original, verdict.replace_toxic, answers)

    def _arguments(self, tool: str, args: Mapping[str, Any], answers: _Answers) -> ArgumentVerdict:
        if not self.active:
            return ArgumentVerdict(args=dict(args), tool=tool, original=args)
        inspection = self._inspection(answers, on_result=False)
        arg_tags: dict[str, frozenset[str]] = {}
        new_args: dict[str, Any] = {}
        tags: set[str] = set()
        for name, value in args.items():
            inspection.tags = set()
            ((new_name, new_value),) = walk_members({name: value}, inspection.visit).items()
            if is_too_deep(value):
                inspection.deny(
                    "hard", "nesting", f"argument `{new_name}` is nested too deep to be inspected"
                )
            while new_name in new_args or (new_name != name and new_name in args):
                new_name += "#"
            new_args[new_name] = new_value
            if inspection.tags:
                arg_tags[new_name] = frozenset(inspection.tags)
                tags |= inspection.tags
        return ArgumentVerdict(
            args=new_args,
            changed=new_args != args,
            tags=frozenset(tags),
            arg_tags=arg_tags,
            denied=inspection.denied,
            hits=inspection.hits(),
            undecided=inspection.undecided(),
            tool=tool,
            original=args,
        )

    def _result(self, value: object, replace_toxic: bool, answers: _Answers) -> ResultVerdict:
        if not self.active:
            return ResultVerdict(value=value, original=value, replace_toxic=replace_toxic)
        inspection = self._inspection(answers, on_result=True, replace_toxic=replace_toxic)
        new = walk(value, "", "", inspection.visit)
        return ResultVerdict(
            value=new,
            changed=new is not value,
            tags=frozenset(inspection.tags),
            hits=inspection.hits(),
            undecided=inspection.undecided(),
            original=value,
            replace_toxic=replace_toxic,
        )

    def _inspection(
        self, answers: _Answers, *, on_result: bool, replace_toxic: bool = True
    ) -> Inspection:
        return Inspection(
            thresholds=self.thresholds,
            blockers=self.blockers,
            answers=answers,
            on_result=on_result,
            replace_toxic=replace_toxic,
        )


def _threshold(one: ClassifierLike) -> float:
    if one.name not in TAGS:
        raise GuardConfigError(
            f"there is no classifier `{one.name}`",
            hint="one of " + ", ".join(CLASSIFIER_NAMES),
            param="content_classifiers",
        )
    if one.mode is not None:
        if one.mode not in MODES:
            raise GuardConfigError(
                f"classifier `{one.name}` has no mode `{one.mode}`",
                hint="one of " + ", ".join(MODES),
                param="content_classifiers",
            )
        return MODES[one.mode]
    if not 0 <= one.threshold <= 1:
        raise GuardConfigError(
            f"threshold of classifier `{one.name}` is outside 0 to 1",
            param="content_classifiers",
        )
    return one.threshold


def _blocker(one: BlockerLike) -> str:
    if one.name not in BLOCKER_NAMES:
        raise GuardConfigError(
            f"there is no blocker `{one.name}`",
            hint="one of " + ", ".join(BLOCKER_NAMES),
            param="content_blockers",
        )
    return one.name
