"""Label sets are exact, and labels carry their worlds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.policy.labels import Wrapped, combine_labels, initial_labels, unwrap
from interlock.policy.model import (
    DEFAULT_LABELS,
    EMPTY,
    UNIVERSAL,
    Labels,
    LabelSet,
    ToolCall,
    Verdict,
)

UNIVERSE = ("a", "b", "c", "unnamed")
SETS = [
    LabelSet(frozenset(items), negated)
    for size in range(4)
    for items in itertools.combinations("abc", size)
    for negated in (False, True)
]


def members(labels: LabelSet) -> set[str]:
    return {label for label in UNIVERSE if label in labels}


@given(st.sampled_from(SETS), st.sampled_from(SETS))
def test_set_operations_are_exact(one: LabelSet, other: LabelSet) -> None:
    a, b = members(one), members(other)

    assert members(one.union(other)) == a | b
    assert members(one.intersect(other)) == a & b
    assert members(one.minus(other)) == a - b
    assert members(one.xor(other)) == a ^ b
    assert one.subset(other) is (a <= b)
    assert one.overlaps(other) is bool(a & b)
    assert (one == other) is (a == b)


@given(st.sampled_from(SETS))
def test_the_wire_form_is_lossless(labels: LabelSet) -> None:
    assert LabelSet.from_wire(labels.to_wire()) == labels


def test_wire_forms() -> None:
    assert UNIVERSAL.to_wire() == ["*"]
    assert LabelSet(frozenset({"b", "a"}), True).to_wire() == ["*", "!a", "!b"]
    assert LabelSet.from_wire(["!a"]) == LabelSet.of("!a")
    assert LabelSet.from_wire(["*", "!a", "a"]).is_universal


def test_with_and_without_one_label() -> None:
    assert EMPTY.with_label("a").without_label("b") == LabelSet.of("a")
    assert EMPTY.with_label("*").is_universal
    assert LabelSet.of("a").without_label("*").is_empty
    assert LabelSet.of("a").contains("a")


def test_the_untouched_universe_leaves_what_it_meets_as_it_is() -> None:
    assigned = LabelSet(frozenset(), True)

    assert UNIVERSAL.intersect(UNIVERSAL).untouched
    assert not UNIVERSAL.intersect(assigned).untouched
    assert not assigned.intersect(UNIVERSAL).untouched
    assert not UNIVERSAL.touched().untouched


def test_only_consumers_can_be_untouched() -> None:
    labels = Labels.of(tags=["*"], producers=["*"])

    assert labels.consumers.untouched
    assert not labels.tags.untouched
    assert not labels.producers.untouched


def test_merging_unites_tags_and_producers_and_intersects_consumers() -> None:
    one = Labels.of(tags=["a"], producers=["p"], consumers=["x", "y"])
    other = Labels.of(tags=["b"], consumers=["y", "z"])

    assert one.merge(other).to_wire() == {
        "tags": ["a", "b"],
        "consumers": ["y"],
        "producers": ["p"],
    }


def test_merging_carries_the_worlds_of_both() -> None:
    one = Labels.of(tags=["a", "h"]).with_worlds({"bound": Labels.of(tags=["a"])})
    other = Labels.of(tags=["b"])

    merged = one.merge(other)

    assert merged.world("bound") == Labels.of(tags=["a", "b"])
    assert merged.world("elsewhere") == Labels.of(tags=["a", "b", "h"])
    assert Labels.from_wire(merged.to_record()) == merged
    assert set(merged.to_wire()) == {"tags", "producers", "consumers"}


def test_worlds_that_do_not_differ_are_not_kept() -> None:
    labels = Labels.of(tags=["a"])

    assert labels.with_worlds({"bound": Labels.of(tags=["a"])}) is labels
    assert labels.with_worlds({"bound": EMPTY_LABELS}).with_worlds({}).worlds == {}
    touched = Labels(EMPTY, EMPTY, LabelSet(frozenset(), True))
    assert "bound" in DEFAULT_LABELS.with_worlds({"bound": touched}).worlds


EMPTY_LABELS = Labels.of(consumers=[])


def test_a_result_starts_with_the_merge_of_all_arguments() -> None:
    call = ToolCall(
        tool="t",
        args={"a": 1, "b": 2, "c": 3},
        labels={
            "a": Labels.of(tags=["x"], consumers=["u", "v"]),
            "b": Labels.of(producers=["p"], consumers=["v"]),
            "absent": Labels.of(tags=["ignored"]),
        },
    )

    assert initial_labels(call) == Labels.of(tags=["x"], producers=["p"], consumers=["v"])
    assert initial_labels(ToolCall(tool="t", args={})) is DEFAULT_LABELS


META = {"producers": ["p"], "consumers": ["*"], "tags": ["t"]}


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"value": 1, "meta": META},
        {"value": 1, "meta": META, "is_sequrity_var": "true"},
        {"meta": META, "is_sequrity_var": True},
        {"value": 1, "meta": None, "is_sequrity_var": True},
        {"value": 1, "meta": {**META, "tags": "t"}, "is_sequrity_var": True},
        {"value": 1, "meta": {**META, "tags": [1]}, "is_sequrity_var": True},
        {"value": 1, "meta": {"tags": [], "producers": []}, "is_sequrity_var": True},
    ],
)
def test_what_lacks_a_part_is_no_wrapper(value: object) -> None:
    assert unwrap(value) is None


@pytest.mark.parametrize(
    ("how", "tags"),
    [
        ("merge", ["i", "t"]),
        ("replace", ["t"]),
        ("ignore", ["i"]),
        ("nonsense", ["i", "t"]),
        (["replace"], ["i", "t"]),
        (None, ["i", "t"]),
    ],
)
def test_a_wrapper_is_combined_with_the_initial_labels(how: object, tags: list[str]) -> None:
    value = {"value": 7, "meta": META, "is_sequrity_var": True, "combine_meta": how}

    wrapped = unwrap(value)

    assert isinstance(wrapped, Wrapped)
    assert wrapped.value == 7
    assert combine_labels(Labels.of(tags=["i"]), wrapped).tags.to_wire() == tags


def test_a_wrapper_merges_when_it_does_not_say() -> None:
    wrapped = unwrap({"value": 7, "meta": META, "is_sequrity_var": True})

    assert wrapped is not None
    assert wrapped.combine == "merge"


def test_verdicts_are_ordered_by_strictness() -> None:
    ordered = sorted(Verdict, key=lambda verdict: verdict.strictness)

    assert ordered == ["hard_allowed", "soft_allowed", "soft_denied", "hard_denied"]
    assert [verdict.allowed for verdict in ordered] == [True, True, False, False]
