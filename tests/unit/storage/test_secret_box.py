import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.storage.errors import SecretKeyError
from interlock.storage.secrets import KEY_FILE, SecretBox

BOX = SecretBox("a master key of some length")


@given(st.text(), st.text())
def test_what_was_sealed_opens_at_its_place_only(value: str, place: str) -> None:
    sealed = BOX.seal(value, place=place)

    assert BOX.open(sealed, place=place) == value
    with pytest.raises(SecretKeyError):
        BOX.open(sealed, place=place + "x")


def test_the_same_text_is_never_sealed_the_same_way() -> None:
    assert BOX.seal("key", place="p") != BOX.seal("key", place="p")


def test_another_master_key_is_told_apart_from_damage() -> None:
    sealed = BOX.seal("key", place="p")

    with pytest.raises(SecretKeyError, match="another secret key"):
        SecretBox("quite another master key").open(sealed, place="p")
    with pytest.raises(SecretKeyError, match="damaged"):
        BOX.open(sealed[:-4] + "AAA=", place="p")


@given(st.text())
def test_anything_else_is_an_error_and_nothing_worse(text: str) -> None:
    for candidate in (text, f"v1.{BOX.key_id}.{text}"):
        with pytest.raises(SecretKeyError):
            BOX.open(candidate, place="p")


def test_the_key_file_is_made_once_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    sealed = SecretBox.load(tmp_path / "data", None).seal("value", place="p")

    assert SecretBox.load(tmp_path / "data", None).open(sealed, place="p") == "value"
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == [KEY_FILE]


def test_starts_at_the_same_moment_agree_on_one_key(tmp_path: Path) -> None:
    ids: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        ids.append(SecretBox.load(tmp_path, None).key_id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_configured_key_is_used_and_no_file_is_made(tmp_path: Path) -> None:
    SecretBox.load(tmp_path, "configured-master-key")

    assert list(tmp_path.iterdir()) == []


def test_a_key_file_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    SecretBox.load(tmp_path, None)
    (tmp_path / KEY_FILE).chmod(0o644)

    with pytest.raises(SecretKeyError) as caught:
        SecretBox.load(tmp_path, None)
    assert "chmod 600" in str(caught.value.hint)


def test_an_empty_key_file_is_not_taken_for_a_key(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).touch(mode=0o600)

    with pytest.raises(SecretKeyError, match="is empty"):
        SecretBox.load(tmp_path, None)


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(SecretKeyError, match="fewer than 16"):
        SecretBox("short")
