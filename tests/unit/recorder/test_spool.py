import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import make_decision, make_response, make_session, make_usage

from interlock.gateway.recorder.rows import Delete, Entry, from_frame, label_rows, to_frame
from interlock.gateway.recorder.spool import Spool, SpoolFullError


@pytest.fixture
def new_spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Makes spools of one folder, each as another process would, and closes them."""
    made: list[Spool] = []

    def make(*, max_bytes: int = 10_000) -> Spool:
        made.append(Spool(tmp_path / "spool", max_bytes=max_bytes))
        return made[-1]

    yield make
    for spool in made:
        spool.close()


def read_all(spool: Spool) -> list[bytes]:
    frames: list[bytes] = []
    for name in spool.names():
        offset, more = 0, True
        while more:
            chunk, offset, more = spool.read(name, offset, 2)
            frames += chunk
    return frames


def test_frames_come_back_in_order_and_a_removed_file_is_gone(
    tmp_path: Path, new_spool: Callable[..., Spool]
) -> None:
    spool = new_spool()
    spool.append([b"one", b"", b"three"])
    spool.append([b"four"])

    assert read_all(spool) == [b"one", b"", b"three", b"four"]
    (name,) = spool.names()
    spool.remove(name)
    assert spool.names() == []


@pytest.mark.parametrize("cut", [1, 5, 9, 12])
def test_a_torn_end_loses_the_last_frame_alone(
    tmp_path: Path, new_spool: Callable[..., Spool], cut: int
) -> None:
    spool = new_spool()
    spool.append([b"first", b"second"])
    spool.close()
    (path,) = (tmp_path / "spool").iterdir()
    path.write_bytes(path.read_bytes()[:-cut])

    assert read_all(new_spool()) == [b"first"]


def test_a_damaged_frame_ends_the_file(tmp_path: Path, new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    spool.append([b"first", b"second"])
    spool.close()
    (path,) = (tmp_path / "spool").iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))

    assert read_all(new_spool()) == [b"first"]


def test_a_file_in_use_by_another_owner_is_left_alone(
    tmp_path: Path, new_spool: Callable[..., Spool]
) -> None:
    owner, other = new_spool(), new_spool()
    owner.append([b"mine"])

    assert other.names() == []
    owner.close()
    assert read_all(other) == [b"mine"]


def test_a_full_spool_refuses_the_whole_call_and_keeps_what_it_has(
    tmp_path: Path, new_spool: Callable[..., Spool]
) -> None:
    spool = new_spool(max_bytes=40)
    spool.append([b"x" * 20])

    with pytest.raises(SpoolFullError):
        spool.append([b"y", b"z" * 20])
    assert read_all(spool) == [b"x" * 20]


def test_the_files_are_for_their_owner_only(
    tmp_path: Path, new_spool: Callable[..., Spool]
) -> None:
    new_spool().append([b"x"])

    (path,) = (tmp_path / "spool").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "entry",
    [
        make_usage(dropped=("a", "b")),
        make_decision(args={"big": 2**80, "text": "nul \0"}),
        make_session(state=bytes(range(256))),
        make_response(),
        Delete("resp_1"),
    ],
)
def test_a_record_survives_its_frame(entry: Entry) -> None:
    assert from_frame(to_frame(entry)) == entry


@given(st.binary())
def test_a_strange_frame_is_an_error_and_nothing_worse(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        from_frame(data)


def test_labels_are_found_wherever_they_stand_and_listed_once() -> None:
    decision = make_decision(
        labels={
            "args": {"to": {"tags": ["pii", "pii"], "producers": {"items": ["web"]}}},
            "session": {"tags": ["pii"], "consumers": {"items": ["hr"], "negated": True}},
            "other": [{"consumers": ["finance", 5, None]}],
        }
    )

    assert [(kind, label) for label, kind, _, _ in label_rows(decision)] == [
        ("tag", "pii"),
        ("producer", "web"),
        ("consumer", "finance"),
    ]


def test_a_flood_of_labels_is_bounded() -> None:
    decision = make_decision(labels={"tags": [f"{n}" * 500 for n in range(500)]})

    rows = list(label_rows(decision))
    assert len(rows) == 64
    assert max(len(label) for label, *_ in rows) == 200
