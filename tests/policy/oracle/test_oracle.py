"""The compiled engine agrees with the obvious evaluator on generated policies."""

# ruff: noqa: ANN001 - generated values; the tree types are the interface

import itertools

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from oracle_evaluator import Bag, Meta, World, decide, finish
from policy_strategies import (
    ARGS,
    FIELDS,
    LABELS,
    TEXTS,
    TOOLS,
    argument_values,
    metas,
    programs,
)

from interlock.policy.compiled import compile_policy
from interlock.policy.model import Caller, Labels, PolicySource, Presets, Session, ToolCall
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.parser import parse
from interlock.policy.syntax.printer import print_program
from interlock.policy.syntax.walk import walk

WANTED_CASES = 20_000
NO_PRESETS = {"enable_llm_blocked_tag": False, "enable_non_executable_memory": False}


def test_the_engine_agrees_with_the_oracle_on_twenty_thousand_cases() -> None:
    agreed = 0

    @settings(
        max_examples=700,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        # Shrinking 81 cases at a time takes minutes; the noted text is enough to go on.
        phases=[Phase.explicit, Phase.generate],
    )
    @given(
        program=programs(),
        arguments=st.lists(
            st.dictionaries(st.sampled_from(ARGS), argument_values()), min_size=3, max_size=3
        ),
        labels=st.lists(st.dictionaries(st.sampled_from(ARGS), metas()), min_size=3, max_size=3),
        sessions=st.lists(metas(), min_size=3, max_size=3),
        results=st.lists(st.tuples(argument_values(), metas()), min_size=3, max_size=3),
        presets=st.builds(
            Presets,
            default_allow=st.booleans(),
            default_allow_enforcement_level=st.sampled_from(["soft", "soft", "hard"]),
            fail_fast=st.booleans(),
            enable_llm_blocked_tag=st.just(False),
            enable_non_executable_memory=st.just(False),
        ),
        caller=st.builds(
            Caller,
            user=st.sampled_from(["", "a"]),
            groups=st.frozensets(st.sampled_from(LABELS), max_size=2),
        ),
        mode=st.sampled_from(["standard", "standard", "strict"]),
    )
    def compare(program, arguments, labels, sessions, results, presets, caller, mode) -> None:
        nonlocal agreed
        text = print_program(program)
        note(text)
        assert parse(text) == program
        source = PolicySource(name="p", text=text)
        policy = compile_policy([source], presets=presets, caller=caller, mode=mode)
        universe = known_labels(program, caller)
        lets = {d.name: d for d in program.declarations if isinstance(d, n.Let)}
        for tool, args, held, session, result in itertools.product(
            TOOLS, arguments, labels, sessions, results[:1]
        ):
            call = ToolCall(
                tool=tool,
                args=args,
                labels={
                    name: Labels.from_wire(meta) for name, meta in held.items() if name in args
                },
            )
            state = Session(labels=Labels.from_wire(session), value="a")
            world = World(
                universe,
                lets,
                caller,
                args,
                {name: bags(universe, meta) for name, meta in call.labels.items()},
                bags(universe, state.labels),
                session_value="a",
            )
            compare_case(program, policy, world, call, state, result, presets, mode)
            agreed += 1

    compare()

    assert agreed >= WANTED_CASES


def compare_case(program, policy, world, call, state, result, presets, mode) -> None:
    want = decide(program, world, call.tool, presets, mode)
    got = policy.decide(call, state)
    traced = policy.decide(call, state, trace=True)
    assert (got.verdict.value, got.rule and got.rule.policy, got.reason) == (
        want.verdict,
        want.rule,
        want.reason,
    )
    assert [rule.policy for rule in got.denied] == want.denied
    assert [rule.policy for rule in got.allowed] == want.allowed
    assert (traced.verdict, traced.reason, len(traced.errors)) == (
        got.verdict,
        got.reason,
        len(got.errors),
    )
    assert len(got.errors) == world.errors
    assert bags(world.universe, got.session.labels) == world.session
    for name in call.args:
        assert bags(world.universe, got.labels.get(name, Labels())) == (
            world.labels.get(name) or world.default()
        )
    value, meta = result
    initial = Labels.from_wire(meta)
    world.value, world.result, world.broken = value, bags(world.universe, initial), False
    finish(program, world, call.tool)
    done = ToolCall(tool=call.tool, args=call.args, labels=got.labels)
    update = policy.result(done, value, initial, got.session)
    assert bags(world.universe, update.labels) == world.result
    assert bags(world.universe, update.session.labels) == world.session
    for name in call.args:
        assert bags(world.universe, update.args.get(name, Labels())) == (
            world.labels.get(name) or world.default()
        )


def known_labels(program, caller) -> frozenset:
    texts = {node.text for node in walk(program) if isinstance(node, n.StringElement | n.StrDomain)}
    texts |= {node.text for node in walk(program) if isinstance(node, n.WildcardElement)}
    return frozenset({*texts, *LABELS, *TEXTS, caller.user, caller.surface, *caller.groups} - {"*"})


def bags(universe, labels) -> Meta:
    """The engine's labels in the oracle's terms."""
    fields = {}
    for field in FIELDS:
        held = getattr(labels, field)
        members = universe - held.items if held.negated else held.items
        fields[field] = Bag(
            frozenset(members), held.negated, field == "consumers" and held.untouched
        )
    return Meta(**fields)
