"""Blobs in an object store: S3 and everything that speaks it, Google Cloud, Azure.

For servers and workers on several machines. Needs the extra `s3`. What the library finds in
the environment (`AWS_ACCESS_KEY_ID`, a role of the machine, ...) is used where the options say
nothing.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_uuid
from interlock.storage.blobs import BlobTooLargeError, Stored, place_of
from interlock.storage.errors import StoreUrlError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["BlobsUnavailable", "ObjectBlobs"]

T = TypeVar("T")
_SCHEMES: Final = ("s3", "gs", "az", "file")
_TIMEOUT: Final = "30s"
_RETRIES: Final = 2


class BlobsUnavailable(InterlockError):  # noqa: N818 - a state, as `StoreUnavailable`
    """Raised when the object store does not answer, or does not let us."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "blobs_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the object store of files cannot be used: {why}",
            hint="`interlock doctor` says whether it answers; see `store.blobs_url`",
        )


class ObjectBlobs:
    """The `Blobs` of an object store."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """Describes the store; connects to nothing yet.

        `options` are those of the library: `endpoint`, `region`, `access_key_id`,
        `secret_access_key`, `allow_http`, ...

        Raises:
            StoreUrlError: the extra is missing, or the URL or an option is unknown.
        """
        self._store = _opened(url, options)

    async def put(self, chunks: AsyncIterator[bytes], *, most: int) -> Stored:
        """See `Blobs.put`. The blob is held in memory until it is there."""
        taken = bytearray()
        async for chunk in chunks:
            if len(taken) + len(chunk) > most:
                raise BlobTooLargeError(most)
            taken += chunk
        import obstore  # noqa: PLC0415 - of the extra `s3`

        name, data = new_uuid(), bytes(taken)
        await _asked(obstore.put_async(self._store, place_of(name), data))
        return Stored(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    async def read(self, name: str) -> bytes:
        """See `Blobs.read`."""
        import obstore  # noqa: PLC0415 - of the extra `s3`

        found = await _asked(obstore.get_async(self._store, place_of(name)))
        return bytes(await _asked(found.bytes_async()))

    async def delete(self, name: str) -> None:
        """See `Blobs.delete`."""
        import obstore  # noqa: PLC0415 - of the extra `s3`

        try:
            await _asked(obstore.delete_async(self._store, place_of(name)))
        except FileNotFoundError:
            return

    async def check(self) -> None:
        """Asks the store for a blob that is not there. Raises BlobsUnavailable."""
        try:
            await self.read(new_uuid())
        except FileNotFoundError as missing:
            if "NoSuchBucket" in str(missing):
                raise BlobsUnavailable("there is no such bucket") from None


def _opened(url: str, options: Mapping[str, str]) -> "ObjectStore":
    scheme, colon, rest = url.partition("://")
    if scheme not in _SCHEMES or not colon or not rest.strip("/"):
        raise StoreUrlError(
            "the URL of the files cannot be used", hint="write e.g. `s3://BUCKET/PREFIX`"
        )
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - of the extra `s3`
        from obstore.store import from_url  # noqa: PLC0415 - of the extra `s3`
    except ImportError:
        raise StoreUrlError(
            "files in an object store need the extra `s3`",
            hint="install it: `pip install 'interlock[s3]'`",
        ) from None
    more: dict[str, Any] = {}
    if scheme == "file":
        more["mkdir"] = True
    else:
        given = dict(options)
        http = given.pop("allow_http", "false").lower() in {"true", "1", "yes"}
        more["config"] = given
        more["client_options"] = {"timeout": _TIMEOUT, "allow_http": http}
        more["retry_config"] = {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=30),
        }
    try:
        return from_url(url, **more)
    except (BaseError, ValueError, TypeError) as error:
        first, _, _ = str(error).partition("\n")
        raise StoreUrlError(
            f"the object store of files cannot be set up: {type(error).__name__}",
            hint=first if "Configuration key" in first else "see `store.blobs_url`",
        ) from None  # the cause may quote an option's value


async def _asked(answer: Awaitable[T]) -> T:
    from obstore.exceptions import (  # noqa: PLC0415 - of the extra `s3`
        BaseError,
        PermissionDeniedError,
        UnauthenticatedError,
    )

    try:
        return await answer
    except (PermissionDeniedError, UnauthenticatedError, PermissionError):
        raise BlobsUnavailable("it does not let us") from None
    except BaseError:
        raise BlobsUnavailable("it does not answer as it should") from None
