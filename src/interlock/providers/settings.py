"""What an operator says about upstreams: providers, keys, aliases, defaults.

Built from plain dictionaries (a TOML table with environment values merged in by the
composition root). Errors name the key that is wrong and never repeat its value.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.catalog import BUILT_IN, KINDS, KeyHeader, Kind
from interlock.providers.http.head import BadHeaderError, header_lines
from interlock.providers.http.tunnel import Proxy
from interlock.providers.model import Price, Suffix
from interlock.providers.wire.exchange import FormatName

__all__ = [
    "BreakerSettings",
    "DeploymentSettings",
    "KeySettings",
    "PriceSettings",
    "ProviderSettings",
    "RetrySettings",
    "TimeoutSettings",
    "UpstreamSettings",
    "UpstreamSettingsError",
    "built_in",
    "load_settings",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_KEY = re.compile(r"[\x21-\x7e]+")


class UpstreamSettingsError(InterlockError):
    """The settings of the upstreams are wrong; the message lists every key that is."""

    kind = ErrorKind.INVALID
    code = "invalid_settings"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _key(value: object) -> object:
    """A key may be written with blanks around it, but not be empty or hold controls."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        return value
    text = text.strip()
    if not _KEY.fullmatch(text):
        msg = "must be printable ASCII without blanks, and not empty"
        raise ValueError(msg)
    return SecretStr(text)


Key = Annotated[SecretStr, BeforeValidator(_key)]


class KeySettings(_Section):
    """One key of a pool."""

    name: str = Field(min_length=1, max_length=64)
    key: Key
    weight: float = Field(default=1.0, gt=0)


class TimeoutSettings(_Section):
    """Seconds. `total` covers all attempts at a provider and the whole body."""

    connect_s: float = Field(default=10.0, gt=0)
    first_byte_s: float = Field(default=300.0, gt=0)
    idle_s: float = Field(default=120.0, gt=0)
    total_s: float = Field(default=1200.0, gt=0)
    queue_s: float = Field(default=10.0, ge=0)
    """Longest wait for a connection when `max_concurrency` are busy."""


class RetrySettings(_Section):
    """Further attempts after a failure, as long as the caller has seen nothing."""

    attempts: int = Field(default=2, ge=0, le=10)
    """Retries within one fail-over group."""
    base_s: float = Field(default=0.5, ge=0)
    """Back-off before retry n: random between 0 and base * 2**n."""
    max_s: float = Field(default=8.0, ge=0)
    """Longest back-off; a longer Retry-After ends the attempts on that deployment."""
    unanswered: bool = True
    """Repeat a model call that was sent and cut before its answer was complete. A call has
    no side effects, but it may be billed twice."""


class BreakerSettings(_Section):
    """When a deployment is left alone for a while."""

    failures: int = Field(default=5, ge=1)
    """Consecutive failures."""
    rate: float = Field(default=0.5, gt=0, le=1)
    """Or this share of failures in a window of at least `minimum` attempts."""
    minimum: int = Field(default=20, ge=1)
    window_s: float = Field(default=30.0, gt=0)
    open_s: float = Field(default=10.0, gt=0)
    """First pause; doubled each time the probe after it fails."""
    max_open_s: float = Field(default=120.0, gt=0)


class PriceSettings(_Section):
    """US dollars per million tokens."""

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)
    cache_read: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)

    def price(self) -> Price:
        """The same as a plain value."""
        return Price(
            input=self.input,
            output=self.output,
            cache_read=self.cache_read,
            cache_write=self.cache_write,
        )


class ProviderSettings(_Section):
    """One upstream."""

    kind: Kind
    """Absent: the kind of that name, or `compatible`."""
    base_url: str | None = None
    """Ends in the API version; `/v1` is added when the URL has no path. Azure: the endpoint."""
    api_key: Key | None = None
    api_keys: tuple[KeySettings, ...] = ()
    """A pool, instead of `api_key`."""
    key_header: KeyHeader | None = None
    """Header the key travels in; absent: that of the kind (`authorization`: as bearer)."""
    formats: tuple[FormatName, ...] = ()
    models: tuple[str, ...] | None = None
    """Names that may be asked for with the server's key, `*` at the end matching any rest;
    absent: all."""
    prices: dict[str, PriceSettings] = Field(default_factory=dict)
    deployments: dict[str, str] = Field(default_factory=dict)
    """Azure: deployment per model name; a model that is not here is its own deployment."""
    api_version: str = "2024-10-21"
    """Azure, all but Responses."""
    responses_api_version: str = "2025-03-01-preview"
    timeouts: TimeoutSettings = TimeoutSettings()
    retries: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    max_concurrency: int = Field(default=512, ge=1)
    max_body_bytes: int = Field(default=64 << 20, ge=1024)
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent with every request; treated as secrets, since tokens are what they usually are."""
    ca_file: str | None = None
    proxy: SecretStr | None = None
    byok: bool = True
    """Whether callers may bring their own key for it."""
    enabled: bool = True

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "must be an http or https URL"
            raise ValueError(msg)
        if parts.username is not None or parts.query or parts.fragment:
            msg = "must not contain credentials, a query or a fragment"
            raise ValueError(msg)
        if not re.fullmatch(r"[\x21-\x7e]+", value):
            msg = "must be plain ASCII without blanks"
            raise ValueError(msg)
        _ = parts.port
        return value.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, text in value.items():
            try:
                header_lines([(name, text.get_secret_value())])
            except BadHeaderError:
                msg = f"header `{name!r}` cannot be sent"
                raise ValueError(msg) from None
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Proxy.parse(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _complete(self) -> "ProviderSettings":
        if self.api_key is not None and self.api_keys:
            msg = "api_key and api_keys exclude each other"
            raise ValueError(msg)
        names = [key.name for key in self.api_keys]
        if len(set(names)) != len(names):
            msg = "api_keys: two keys have the same name"
            raise ValueError(msg)
        row = KINDS[self.kind]
        unknown = [name for name in self.formats if name not in row.generate]
        if unknown:
            msg = f"formats: `{unknown[0]}` has no path at a provider of kind `{self.kind}`"
            raise ValueError(msg)
        return self

    @property
    def keys(self) -> tuple[KeySettings, ...]:
        """The pool, whichever way it was written."""
        if self.api_key is not None:
            return (KeySettings(name="default", key=self.api_key),)
        return self.api_keys

    @property
    def configured(self) -> bool:
        """Whether the server itself can use it (the caller's key aside)."""
        row = KINDS[self.kind]
        reachable = self.base_url is not None or row.base_url is not None
        return self.enabled and reachable and (bool(self.keys) or not row.key_required)


class DeploymentSettings(_Section):
    """One target of an alias."""

    provider: str
    model: str = Field(min_length=1)
    weight: float = Field(default=1.0, gt=0)
    key: str | None = None
    """Name of the only key of the pool to use."""


def _groups(value: object) -> object:
    """A deployment, a list of them (one each: pure fail-over), or a list of groups."""
    if isinstance(value, Mapping):
        return [[value]]
    if isinstance(value, list | tuple):
        return [item if isinstance(item, list | tuple) else [item] for item in value]
    return value


Group = Annotated[tuple[DeploymentSettings, ...], Field(min_length=1)]
Alias = Annotated[tuple[Group, ...], BeforeValidator(_groups), Field(min_length=1)]


class UpstreamSettings(_Section):
    """All of it."""

    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    aliases: dict[str, Alias] = Field(default_factory=dict)
    defaults: dict[Suffix, str] = Field(default_factory=dict)
    """Provider of a path that names none, per suffix."""
    proxy: SecretStr | None = None
    """Proxy for https upstreams that have none of their own."""
    no_proxy: tuple[str, ...] = ()
    """Hosts, or `.domain` suffixes, reached directly."""

    @model_validator(mode="before")
    @classmethod
    def _kinds(cls, data: Any) -> Any:  # noqa: ANN401 - raw input
        if not isinstance(data, Mapping) or not isinstance(data.get("providers", {}), Mapping):
            return data
        providers = {}
        for name, section in data.get("providers", {}).items():
            raw = section
            if isinstance(section, Mapping):
                raw = {"kind": BUILT_IN.get(name, "compatible"), **section}
                if raw["kind"] == "demo":
                    raw = {**_SCRIPTED, **raw}
            providers[name] = raw
        return {**data, "providers": providers}

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Proxy.parse(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _references(self) -> "UpstreamSettings":
        for name, provider in self.providers.items():
            if not _NAME.fullmatch(name):
                _wrong(f"providers.{name}", "name must be lower-case letters, digits, `_.-`")
            if provider.kind in ("compatible", "azure") and provider.base_url is None:
                _wrong(f"providers.{name}.base_url", "is required")
            if name in BUILT_IN and name == "demo" and provider.kind != "demo":
                _wrong(f"providers.{name}.kind", "the name `demo` is taken by the demo model")
        known = {**dict.fromkeys(BUILT_IN), **self.providers}
        for suffix, name in self.defaults.items():
            if name not in known:
                _wrong(f"defaults.{suffix}", f"provider `{name}` does not exist")
        for alias, groups in self.aliases.items():
            for number, deployment in enumerate(d for group in groups for d in group):
                where = f"aliases.{alias}.{number}"
                if deployment.provider not in known:
                    _wrong(where, f"provider `{deployment.provider}` does not exist")
                section = known[deployment.provider]
                names = {key.name for key in section.keys} if section else set()
                if deployment.key is not None and deployment.key not in names:
                    _wrong(where, f"key `{deployment.key}` is not in the provider's pool")
        return self


_SCRIPTED = {
    "retries": {"attempts": 0},
    "breaker": {"failures": 1_000_000, "minimum": 1_000_000},
}
"""The demo model fails when it is told to: one caller's script must not hurt another's."""


def built_in(name: str) -> ProviderSettings:
    """Settings of a provider of `catalog.BUILT_IN` that nobody configured."""
    kind = BUILT_IN[name]
    return ProviderSettings.model_validate({"kind": kind, **(_SCRIPTED if kind == "demo" else {})})


def _wrong(key: str, problem: str) -> None:
    msg = f"{key}: {problem}"
    raise ValueError(msg)


def load_settings(data: Mapping[str, object]) -> UpstreamSettings:
    """Settings from a dictionary with the keys of `UpstreamSettings`.

    Raises:
        UpstreamSettingsError: naming each wrong key by its path
            (`providers.ollama.base_url`), never its value.
    """
    try:
        return UpstreamSettings.model_validate(data)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            path = ".".join(str(part) for part in item["loc"])
            text = item["msg"].removeprefix("Value error, ")
            problems.append(f"{path}: {text}" if path else text)
        raise UpstreamSettingsError("; ".join(problems)) from None
