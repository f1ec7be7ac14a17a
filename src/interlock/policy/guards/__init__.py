"""Content guards: classifiers and blockers over tool-call arguments and tool results.

Owns the deterministic first pass (rules, checksums, lexicons), what it rewrites and
denies, and the questions it leaves to a tagging model. Refuses to call that model,
to store anything, and to put matched text into a finding.

    guards = Guards(config.classifiers, config.blockers)
    verdict = guards.check_arguments(tool, args)
    if verdict.undecided:                       # optional
        answers = [tagllm_verdict(await ask(*tagllm_request(q.guard, q.text))) ...]
        verdict = guards.resolve(verdict, answers)
"""

from interlock.policy.guards.engine import (
    BLOCKER_NAMES,
    CLASSIFIER_NAMES,
    MODES,
    Guards,
    Scores,
    notice,
)
from interlock.policy.guards.errors import GuardConfigError, TagAnswerError
from interlock.policy.guards.model import (
    ArgumentVerdict,
    BlockerLike,
    ClassifierLike,
    Denial,
    GuardHit,
    ResultVerdict,
    TagScore,
    Undecided,
)
from interlock.policy.guards.tagllm import tagllm_request, tagllm_verdict

__all__ = [
    "BLOCKER_NAMES",
    "CLASSIFIER_NAMES",
    "MODES",
    "ArgumentVerdict",
    "BlockerLike",
    "ClassifierLike",
    "Denial",
    "GuardConfigError",
    "GuardHit",
    "Guards",
    "ResultVerdict",
    "Scores",
    "TagAnswerError",
    "TagScore",
    "Undecided",
    "notice",
    "tagllm_request",
    "tagllm_verdict",
]
