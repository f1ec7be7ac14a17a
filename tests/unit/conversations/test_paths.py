"""Paths sort a thread the way it is read."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from interlock.conversations.paths import child_path, depth, label, valid_path

ROOT = "0199a1b2-0000-7000-8000-000000000001"


def test_a_label_is_m_and_the_digits_of_the_id() -> None:
    assert label(ROOT) == "m0199a1b2000070008000000000000001"


def test_a_root_has_depth_one_and_a_reply_one_more() -> None:
    path = child_path(None, ROOT)

    assert depth(path) == 1
    assert depth(child_path(path, ROOT)) == 2


def test_sorting_by_path_is_depth_first_with_siblings_in_creation_order() -> None:
    ids = [str(uuid.UUID(int=number)) for number in range(6)]
    root = child_path(None, ids[0])
    first = child_path(root, ids[1])
    second = child_path(root, ids[2])
    late_below_first = child_path(first, ids[5])
    below_second = child_path(second, ids[3])

    assert sorted([below_second, second, late_below_first, first, root]) == [
        root,
        first,
        late_below_first,
        second,
        below_second,
    ]


def test_only_paths_are_valid() -> None:
    good = child_path(child_path(None, ROOT), ROOT)

    assert valid_path(good)
    for bad in ("", "m", good + ".", "." + good, good.upper(), good + "\n", good[:-1], "x" + good):
        assert not valid_path(bad)


@given(st.lists(st.uuids(), min_size=1, max_size=8))
def test_every_path_made_is_valid(ids: list[uuid.UUID]) -> None:
    path = None
    for one in ids:
        path = child_path(path, str(one))

    assert path is not None
    assert valid_path(path)
    assert depth(path) == len(ids)
