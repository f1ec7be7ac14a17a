"""The four-step pipeline from a key's stored config and three headers to a session config.

1. base: the key's stored config over the built-in preset of (endpoint, architecture);
2. copied, so that nothing stored is ever changed;
3. X-Features, X-Policy, X-Config over it, in that order. A header that switches the
   architecture starts again from the other preset, with the key's classifiers,
   blockers and policy; the key's X-Config belonged to the old architecture and goes.
   A key that names no architecture has nothing to switch from: its whole config goes
   over the preset of whatever the request asks for;
4. the request's model and keys are not part of it: `split_models` reads the one, the
   gateway adds both.

A policy with `x_enforcement: watch` is not merged into what is enforced; merged over
it, it becomes the shadow (11.2). So a caller can watch a policy, but cannot turn the
policy of its key into a watched one.

Pure. Source: gateway.md sections 3, 6.2, 6.5.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from interlock.gateway.config import (
    PROMPT_FLAVORS,
    PROMPT_VERSIONS,
    Architecture,
    Classifier,
    Endpoint,
    FsmConfig,
    PolicyConfig,
    ResponseFormatConfig,
    SessionConfig,
    config_hash,
)
from interlock.surfaces.control.errors import InvalidBodyError, InvalidHeaderError
from interlock.surfaces.control.presets import Tree, clamp, preset
from interlock.surfaces.control.schemas import ConfigHeader, FeaturesHeader, PolicyHeader
from interlock.surfaces.control.schemas.features import mode_threshold

__all__ = ["KeyBase", "merge", "pipeline", "split_models", "unknown_prompts"]

_WHOLE: Final = frozenset({"codes", "logit_bias", "query_role_name_overrides"})
"""Objects that are one value: replaced, never merged into."""

_SHARED_FSM: Final = (
    "min_num_tools_for_filtering",
    "clear_session_meta",
    "max_n_turns",
    "history_mismatch_policy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBase:
    """What is stored with a key, parsed."""

    features: FeaturesHeader | None = None
    policy: PolicyHeader | None = None
    config: ConfigHeader | None = None


def merge(under: Tree, over: Mapping[str, object]) -> Tree:
    """`over` on `under`, field by field, as a new tree.

    Absent and null keep what is underneath; objects merge, everything else (lists
    too, and the objects that are one value) replaces.
    """
    merged = dict(under)
    for key, value in over.items():
        if value is None:
            continue
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and key not in _WHOLE:
            merged[key] = merge(below, value)
        else:
            merged[key] = deepcopy(value)
    return merged


def pipeline(
    endpoint: Endpoint,
    base: KeyBase,
    features: FeaturesHeader | None,
    policy: PolicyHeader | None,
    config: ConfigHeader | None,
) -> SessionConfig:
    """The session config of a request.

    Raises InvalidHeaderError for an unknown prompt flavour or version in dual-llm, where it
    counts.
    """
    arch, switched = _architecture(endpoint, base, features)
    tree = preset(endpoint, arch)
    tree["x_features"] = _over(tree["x_features"], base.features, features)
    if not switched:
        tree["x_config"] = _over(tree["x_config"], base.config)
    tree["x_config"] = _over(tree["x_config"], config)
    shadow: Tree | None = None
    for layer in (base.policy, policy):
        if layer is None:
            continue
        if layer.x_enforcement == "watch":
            shadow = _over(shadow or tree["x_policy"], layer)
        else:
            tree["x_policy"] = _over(tree["x_policy"], layer)
            shadow = None if shadow is None else _over(shadow, layer)
    watched = None
    if shadow is not None:
        copy = {**tree, "x_policy": shadow}
        clamp(copy, endpoint, arch)
        watched = replace(_policy(copy["x_policy"]), enforcement="watch")
    clamp(tree, endpoint, arch)
    return _freeze(tree, endpoint, arch, watched)


def split_models(model: str) -> tuple[str, str]:
    """The planner's and the quarantined model of a request's `model`: `a` or `a,b`.

    In single-llm the first is used. Names with a provider prefix stay as they are.

    Raises InvalidBodyError for more than one comma, or an empty name.
    """
    planner, comma, quarantined = model.partition(",")
    planner, quarantined = planner.strip(), quarantined.strip()
    if "," in quarantined:
        raise InvalidBodyError("model: at most two names, separated by one comma", param="model")
    if not planner or (comma and not quarantined):
        raise InvalidBodyError("model: the name is empty", param="model")
    return planner, quarantined or planner


def unknown_prompts(prompt: Mapping[str, object]) -> list[str]:
    """What X-Config `prompt` names that no template has: path, and what there is instead."""
    problems = []
    for role, item in prompt.items():
        for key, known in (("flavor", PROMPT_FLAVORS[role]), ("version", PROMPT_VERSIONS)):
            value = _tree(item).get(key)
            if value is not None and value not in known:
                names = ", ".join(f"'{name}'" for name in known)
                problems.append(f"prompt.{role}.{key}: unknown {key}, available: {names}")
    return problems


def _architecture(
    endpoint: Endpoint, base: KeyBase, features: FeaturesHeader | None
) -> tuple[Architecture, bool]:
    """The architecture asked for, and whether it is another one than the key names."""
    stored = base.features.agent_arch if base.features else None
    asked = features.agent_arch if features else None
    arch: Architecture = asked or stored or "single-llm"
    if endpoint == "lang-graph":
        arch = "dual-llm"
    return arch, stored is not None and stored != arch


def _over(under: object, *layers: FeaturesHeader | PolicyHeader | ConfigHeader | None) -> Tree:
    tree = _tree(under)
    for layer in layers:
        if layer is not None:
            tree = merge(tree, layer.given())
    return tree


def _freeze(
    tree: Tree, endpoint: Endpoint, arch: Architecture, shadow: PolicyConfig | None
) -> SessionConfig:
    features, config = _tree(tree["x_features"]), _tree(tree["x_config"])
    prompt = _tree(config["prompt"])
    problems = unknown_prompts(prompt)
    if problems:
        raise InvalidHeaderError("X-Config", "; ".join(problems), problems=problems)
    classifiers = {
        item.name: item
        for item in map(_classifier, msgspec.convert(features["content_classifiers"], list[Tree]))
    }
    frozen = msgspec.convert(
        {
            "arch": arch,
            "endpoint": endpoint,
            "blockers": _unique(features["content_blockers"]),
            "prompt": prompt,
            "llm": config["llm"],
        },
        SessionConfig,
    )
    frozen = replace(
        frozen,
        classifiers=tuple(classifiers.values()),
        policy=_policy(tree["x_policy"]),
        shadow=shadow,
        fsm=_fsm(_tree(config["fsm"])),
        response_format=msgspec.convert(config["response_format"], ResponseFormatConfig),
    )
    return replace(frozen, digest=config_hash(frozen))


def _classifier(item: Tree) -> Classifier:
    mode = item.get("mode")
    named = mode_threshold(mode) if isinstance(mode, str) else None
    return msgspec.convert(item if named is None else {**item, "threshold": named}, Classifier)


def _unique(items: object) -> list[Tree]:
    """Named items, a repeated name once."""
    return list({str(item["name"]): item for item in msgspec.convert(items, list[Tree])}.values())


def _policy(tree: object) -> PolicyConfig:
    policy = _tree(tree)
    codes, presets = _tree(policy["codes"]), _tree(policy["presets"])
    code = str(codes.get("code", ""))
    cedar = codes.get("language") == "cedar" and code.strip() != ""
    return msgspec.convert(
        {
            "mode": policy["mode"],
            "code": code,
            "language": "cedar" if cedar else "sqrt",
            "auto_gen": policy["auto_gen"],
            "presets": {**presets, "fail_fast": policy["fail_fast"]},
            "branching": presets["branching_meta_policy"],
        },
        PolicyConfig,
    )


def _fsm(tree: Tree) -> FsmConfig:
    shared = {key: tree[key] for key in _SHARED_FSM}
    dual = {key: value for key, value in tree.items() if key not in shared}
    return msgspec.convert({**shared, "dual": dual}, FsmConfig)


def _tree(value: object) -> Tree:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value
