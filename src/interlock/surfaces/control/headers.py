"""Header text to session config: parsing with exact complaints, and a cache in front.

`parse` turns one header into its model, `build_config` runs the pipeline (`build`),
`ConfigCache` remembers the outcome per key and header bytes, so that a client that
resends the same headers, as they all do, pays one dictionary lookup.

Source: gateway.md section 3.
"""

from collections.abc import Mapping
from typing import Final, Literal, overload

from pydantic import ValidationError
from pydantic_core import from_json

from interlock.gateway.config import Endpoint, SessionConfig, config_hash
from interlock.surfaces.control.build import KeyBase, pipeline
from interlock.surfaces.control.errors import (
    HeaderTooLargeError,
    InvalidHeaderError,
    KeyConfigError,
)
from interlock.surfaces.control.problems import LISTED, MAX_PATH_CHARS, problems, shown
from interlock.surfaces.control.schemas import ConfigHeader, FeaturesHeader, PolicyHeader

__all__ = [
    "MAX_HEADER_BYTES",
    "ConfigCache",
    "HeaderName",
    "build_config",
    "config_hash",
    "parse",
    "parse_base",
]

HeaderName = Literal["X-Features", "X-Policy", "X-Config"]

MAX_HEADER_BYTES: Final = 128 << 10
"""Of each config header: twice what clients may rely on."""

_MODELS: Final[Mapping[str, type[FeaturesHeader] | type[PolicyHeader] | type[ConfigHeader]]] = {
    "X-Features": FeaturesHeader,
    "X-Policy": PolicyHeader,
    "X-Config": ConfigHeader,
}
_STORED: Final = {"x_features": "X-Features", "x_policy": "X-Policy", "x_config": "X-Config"}


@overload
def parse(name: Literal["X-Features"], raw: bytes | str) -> FeaturesHeader: ...
@overload
def parse(name: Literal["X-Policy"], raw: bytes | str) -> PolicyHeader: ...
@overload
def parse(name: Literal["X-Config"], raw: bytes | str) -> ConfigHeader: ...
@overload
def parse(name: HeaderName, raw: bytes | str) -> FeaturesHeader | PolicyHeader | ConfigHeader: ...


def parse(name: HeaderName, raw: bytes | str) -> FeaturesHeader | PolicyHeader | ConfigHeader:
    """One config header as its model.

    Raises HeaderTooLargeError when it is longer than `MAX_HEADER_BYTES`, InvalidHeaderError
    when it is not JSON ("Invalid JSON: ...") or says something that does not exist
    ("presets.default_allow: Input should be ...").
    """
    try:
        data = raw.encode() if isinstance(raw, str) else raw
        if len(data) > MAX_HEADER_BYTES:
            raise HeaderTooLargeError(name, MAX_HEADER_BYTES)
        data.decode()
    except UnicodeError:
        raise InvalidHeaderError(name, "not valid UTF-8") from None
    try:
        value = from_json(data, allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
        raise InvalidHeaderError(name, f"Invalid JSON: {error}") from None
    return _validated(name, value)


def parse_base(base: Mapping[str, object] | None) -> KeyBase:
    """The config stored with a key: `{x_features?, x_policy?, x_config?}` objects.

    Whoever stores one calls this first, so that it never fails on a request.

    Raises InvalidHeaderError when a part is invalid, or no such part exists.
    """
    parts = {key: value for key, value in (base or {}).items() if value is not None}
    for key in parts:
        if key not in _STORED:
            raise InvalidHeaderError(str(key)[:MAX_PATH_CHARS], "no such part of a key's config")
    models = {key: _validated(_STORED[key], value) for key, value in parts.items()}
    features, policy, config = (models.get(key) for key in _STORED)
    return KeyBase(
        features=features if isinstance(features, FeaturesHeader) else None,
        policy=policy if isinstance(policy, PolicyHeader) else None,
        config=config if isinstance(config, ConfigHeader) else None,
    )


def build_config(
    endpoint: Endpoint,
    base: Mapping[str, object] | None,
    features: FeaturesHeader | None,
    policy: PolicyHeader | None,
    config: ConfigHeader | None,
) -> SessionConfig:
    """The session config for a key's stored config and the request's headers; see `build`.

    `base` is read, never changed, and nothing of it is shared with the result.

    Raises KeyConfigError when `base` is invalid (it was not checked when it was stored),
    InvalidHeaderError for an unknown prompt flavour or version in dual-llm.
    """
    try:
        stored = parse_base(base)
    except InvalidHeaderError as error:
        raise KeyConfigError(error.message) from error
    return pipeline(endpoint, stored, features, policy, config)


class ConfigCache:
    """Built configs by (key, version of its stored config, endpoint, header bytes).

    Bounded by entries and by bytes of header text. Two generations stand in for
    least-recently-used order, because that needs no bookkeeping on a hit: new and
    still wanted entries are in the young one; when it is full it becomes the old
    one, and what nobody asks for until the next time goes. Failures are not kept.
    """

    def __init__(self, *, max_entries: int = 2048, max_bytes: int = 32 << 20) -> None:
        self._young: dict[tuple[object, ...], SessionConfig] = {}
        self._old: dict[tuple[object, ...], SessionConfig] = {}
        self._bytes = 0
        self._half_entries = max(1, max_entries // 2)
        self._half_bytes = max_bytes // 2

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(  # noqa: PLR0917 - the six parts of the cache key, in the order they travel
        self,
        key_id: str,
        base_version: str | int | None,
        endpoint: Endpoint,
        x_features: bytes,
        x_policy: bytes,
        x_config: bytes,
        base: Mapping[str, object] | None = None,
    ) -> SessionConfig:
        """The config for these headers; an empty value means the header is absent.

        `base` is the key's stored config and must be the same whenever `key_id` and
        `base_version` are. Equal arguments give the identical object as long as it is
        kept, so callers may compare by identity first and by `digest` second.

        Raises what `parse` and `build_config` raise.
        """
        key = (key_id, base_version, endpoint, x_features, x_policy, x_config)
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.pop(key, None)
        if found is None:
            found = build_config(
                endpoint,
                base,
                parse("X-Features", x_features) if x_features else None,
                parse("X-Policy", x_policy) if x_policy else None,
                parse("X-Config", x_config) if x_config else None,
            )
        self._keep(key, found, len(x_features) + len(x_policy) + len(x_config))
        return found

    def _keep(self, key: tuple[object, ...], config: SessionConfig, size: int) -> None:
        if len(self._young) >= self._half_entries or self._bytes + size > self._half_bytes:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[key] = config
        self._bytes += size


def _validated(name: str, value: object) -> FeaturesHeader | PolicyHeader | ConfigHeader:
    if not isinstance(value, dict):
        raise InvalidHeaderError(name, "Input should be a JSON object")
    try:
        return _MODELS[name].model_validate(value)
    except ValidationError as error:
        found = problems(error)
    raise InvalidHeaderError(name, shown(found), problems=[item.text for item in found[:LISTED]])
