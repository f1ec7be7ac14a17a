import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.object_store import BUCKET, ObjectStore, object_store

from interlock.storage.blobs import BlobTooLargeError
from interlock.storage.errors import StoreUrlError
from interlock.storage.object_blobs import BlobsUnavailable, ObjectBlobs

pytestmark = pytest.mark.anyio
pytest.importorskip("obstore")


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for one in given:
        yield one


async def test_a_blob_is_kept_below_the_prefix_and_comes_back(store: ObjectStore) -> None:
    blobs = ObjectBlobs(f"s3://{BUCKET}/interlock", store.options)
    made = await blobs.put(pieces(b"one ", b"two"), most=7)

    assert (made.size_bytes, made.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert store.kept == {f"/{BUCKET}/interlock/{made.name[:2]}/{made.name}": b"one two"}
    assert await blobs.read(made.name) == b"one two"
    await blobs.delete(made.name)
    await blobs.delete(made.name)
    assert store.kept == {}
    with pytest.raises(FileNotFoundError):
        await blobs.read(made.name)


async def test_what_is_too_large_never_leaves(store: ObjectStore) -> None:
    blobs = ObjectBlobs(f"s3://{BUCKET}/interlock", store.options)
    with pytest.raises(BlobTooLargeError):
        await blobs.put(pieces(b"one ", b"two"), most=6)

    assert store.kept == {}


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a" * 36])
async def test_names_from_outside_are_no_blobs(store: ObjectStore, name: str) -> None:
    blobs = ObjectBlobs(f"s3://{BUCKET}/interlock", store.options)
    with pytest.raises(FileNotFoundError):
        await blobs.read(name)


async def test_a_store_that_fails_is_unavailable_and_its_keys_are_not_told(
    store: ObjectStore,
) -> None:
    stranger = {**store.options, "access_key_id": "OTHER"}
    refused = ObjectBlobs(f"s3://{BUCKET}/interlock", stranger)
    broken = ObjectBlobs(f"s3://{BUCKET}/interlock", store.options)
    await broken.check()
    elsewhere = ObjectBlobs("s3://another-bucket/interlock", store.options)
    with pytest.raises(BlobsUnavailable, match="does not let us") as denied:
        await refused.check()
    with pytest.raises(BlobsUnavailable, match="no such bucket"):
        await elsewhere.check()
    store.broken = True
    with pytest.raises(BlobsUnavailable, match="does not answer") as failed:
        await broken.put(pieces(b"x"), most=9)

    told = f"{denied.value!r}{denied.value.hint}{failed.value!r}{failed.value.hint}"
    assert store.options["secret_access_key"] not in told
    assert store.url not in told


@pytest.mark.parametrize(
    "url", ["s3://", "ftp://host/x", "nonsense", "http://user:secret-word@host/x", "memory:///"]
)
def test_other_urls_are_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(StoreUrlError) as refused:
        ObjectBlobs(url, {})

    assert "secret-word" not in f"{refused.value}{refused.value.hint}"


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(StoreUrlError) as refused:
        ObjectBlobs(f"s3://{BUCKET}", {"colour": "hidden-value"})

    assert "colour" in str(refused.value.hint)
    assert "hidden-value" not in f"{refused.value}{refused.value.hint}"


async def test_a_directory_that_servers_share_does_as_well(tmp_path: Path) -> None:
    one, other = (ObjectBlobs(f"file://{tmp_path / 'shared'}", {}) for _ in range(2))
    made = await one.put(pieces(b"kept"), most=9)

    assert await other.read(made.name) == b"kept"
