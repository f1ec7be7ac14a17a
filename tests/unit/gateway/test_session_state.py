"""Two versions of one session become one that has forgotten nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gateway.session_state import (
    CallState,
    Denied,
    MergeError,
    Origin,
    SessionState,
    merge_states,
    open_labels,
    pack_labels,
)
from interlock.policy.model import DEFAULT_LABELS, Labels, LabelSet

NAMES = st.frozensets(st.sampled_from("abcd"), max_size=3)
SETS = st.builds(LabelSet, NAMES, st.booleans())
PLAIN = st.builds(
    Labels, tags=SETS, producers=SETS, consumers=st.one_of(SETS, st.just(DEFAULT_LABELS.consumers))
)
LABELS = st.builds(
    lambda labels, worlds: labels.with_worlds(worlds),
    PLAIN,
    st.dictionaries(st.sampled_from(["bound", "watch"]), PLAIN, max_size=2),
)


def make_state(**members: Any) -> SessionState:
    values: dict[str, Any] = {
        "id": "11111111-2222-4333-8444-555566667777",
        "owner": "acc:user",
        "key_id": "key_1",
        "account_id": "acc",
        "endpoint": "chat",
        "created_at": 1.0,
        "updated_at": 2.0,
    }
    return SessionState(**(values | members))


def call(name: str, *, answered: bool = False) -> CallState:
    arguments = "" if answered else "{}"
    return CallState(upstream_id=f"up_{name}", tool=name, arguments=arguments, answered=answered)


def denied(name: str) -> Denied:
    return Denied(
        after="tc-1", upstream_id=name, name=name, namespace=None, arguments="{}", message="no"
    )


def origin(label: str) -> Origin:
    return Origin(field="tags", label=label, tool="read", call_id="tc-1", declaration="d", line=1)


def test_what_either_side_learned_is_in_the_merged_state() -> None:
    ours = make_state(
        updated_at=9.0,
        turns=4,
        labels=pack_labels(Labels.of(tags=["private"], consumers=["hr", "it"])),
        origins=[origin("old"), origin("private")],
        calls={"tc-1": call("read", answered=True), "tc-2": call("ours")},
        denied=[denied("old"), denied("ours")],
    )
    theirs = make_state(
        updated_at=8.0,
        turns=5,
        closed=True,
        labels=pack_labels(Labels.of(tags=["pii"], producers=["web"], consumers=["hr"])),
        origins=[origin("old"), origin("pii")],
        calls={"tc-1": call("read"), "tc-3": call("theirs")},
        denied=[denied("old"), denied("theirs")],
    )

    assert merge_states(ours, theirs, base_turns=3) == make_state(
        updated_at=9.0,
        turns=6,
        closed=True,
        labels=pack_labels(Labels.of(tags=["private", "pii"], producers=["web"], consumers=["hr"])),
        origins=[origin("old"), origin("pii"), origin("private")],
        calls={
            "tc-1": call("read", answered=True),
            "tc-3": call("theirs"),
            "tc-2": call("ours"),
        },
        denied=[denied("old"), denied("theirs"), denied("ours")],
    )


def test_labels_that_one_side_took_away_stay_when_the_other_still_has_them() -> None:
    labels = pack_labels(Labels.of(tags=["private"]))

    merged = merge_states(make_state(labels=None), make_state(labels=labels), base_turns=0)

    assert merged.labels == labels


def test_one_id_for_two_calls_cannot_be_merged() -> None:
    ours, theirs = make_state(calls={"tc-1": call("a")}), make_state(calls={"tc-1": call("b")})

    with pytest.raises(MergeError):
        merge_states(ours, theirs, base_turns=0)


@given(LABELS, LABELS)
def test_merged_labels_are_never_weaker_than_those_of_a_side(one: Labels, other: Labels) -> None:
    merged = merge_states(
        make_state(labels=pack_labels(one)), make_state(labels=pack_labels(other)), base_turns=0
    ).labels
    assert merged is not None
    found = open_labels(merged)

    for side in (one, other):
        for world in ("", "bound", "watch"):
            mine, whole = side.world(world), found.world(world)
            assert mine.tags.subset(whole.tags)
            assert mine.producers.subset(whole.producers)
            assert whole.consumers.subset(mine.consumers)
