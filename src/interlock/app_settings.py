"""Finds, merges and checks the settings of a server; remembers where each came from.

Sources, later ones win: defaults, one TOML file, `INTERLOCK_*` variables, command-line
options. Besides `app.py` the only module that reads the environment. A mistake is
reported with the key and the place it was written in, all mistakes at once.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from interlock.conversations.settings import ChatSettings, StreamSettings
from interlock.events.settings import EventSettings
from interlock.gateway.recorder import RecorderSettings
from interlock.gateway.settings import GatewaySettings
from interlock.gateway.shipped import SHIPPED
from interlock.identity.keys import KeyCacheSettings
from interlock.identity.login.settings import AuthSettings, SessionSettings
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.settings import LimitSettings, RateLimitSettings
from interlock.providers.catalog import BUILT_IN, KINDS
from interlock.providers.settings import ProviderSettings, UpstreamSettings
from interlock.storage.settings import StoreSettings
from interlock.telemetry.redaction import MASK, mask_members, mask_text
from interlock.telemetry.settings import TelemetrySettings
from interlock.web.settings import (
    ApiSettings,
    CorsSettings,
    FeatureSettings,
    SecuritySettings,
    check_base_url,
    check_proxies,
)

__all__ = [
    "SECTIONS",
    "AppSettings",
    "BootstrapSettings",
    "LoadedSettings",
    "ServerSettings",
    "SettingsError",
    "Value",
    "load_settings",
    "variables",
]

CONFIG_NAME = "interlock.toml"
_PREFIX = "INTERLOCK_"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SettingsError(InterlockError):
    """Raised when settings cannot be used; lists every mistake with its key and source."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_settings"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ServerSettings(BaseModel):
    """Where the server listens and how much it takes from a client."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65535)
    """0: any free one."""
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_header_bytes: int = Field(default=256 * 1024, ge=64 * 1024)
    """All headers of a request together; one policy header alone may take 64 KiB."""
    max_connections: int = Field(default=10_000, ge=1)
    idle_s: float = Field(default=75.0, gt=0)
    """How long a connection without a request is kept."""
    shutdown_s: float = Field(default=30.0, ge=0)
    """How long running answers may go on when the server is told to stop."""
    allowed_origins: tuple[str, ...] = ()
    """Browser origins that may call the APIs, e.g. `https://chat.example`; `*`: any."""
    metrics: bool = True
    """Whether `/metrics` is served."""
    durable_work: bool = True
    """Whether this process makes agents' replies itself. False: it leaves them to
    `interlock worker` processes on the same PostgreSQL database."""
    public_base_url: str | None = None
    """Where browsers reach the server; decides about secure cookies and links."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose `X-Forwarded-For` and `X-Real-IP` are believed."""
    cors: CorsSettings = CorsSettings()

    _base_url = field_validator("public_base_url")(check_base_url)
    _proxies = field_validator("trusted_proxies")(check_proxies)


class BootstrapSettings(BaseModel):
    """Credentials of the first start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret_key: SecretStr | None = None
    """Master key of stored credentials; none: `secret.key` in the data directory."""
    admin_email: str | None = None
    admin_password: SecretStr | None = None
    bootstrap_key: SecretStr | None = None


class AppSettings(BaseModel):
    """Everything a server can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Path("interlock-data")
    """Directory of everything the server keeps."""
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    gateway: GatewaySettings = GatewaySettings()
    recorder: RecorderSettings = RecorderSettings()
    keys: KeyCacheSettings = KeyCacheSettings()
    limits: LimitSettings = LimitSettings()
    rate_limits: RateLimitSettings = RateLimitSettings()
    events: EventSettings = EventSettings()
    chat: ChatSettings = ChatSettings()
    sse: StreamSettings = StreamSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    upstreams: UpstreamSettings = UpstreamSettings()
    bootstrap: BootstrapSettings = BootstrapSettings()
    security: SecuritySettings = SecuritySettings()
    session: SessionSettings = SessionSettings()
    auth: AuthSettings = AuthSettings()
    features: FeatureSettings = FeatureSettings()
    api: ApiSettings = ApiSettings()

    @model_validator(mode="after")
    def _somebody_works(self) -> Self:
        if not self.server.durable_work and self.database_url.startswith("sqlite"):
            raise ValueError(
                "`server.durable_work = false` needs PostgreSQL: a SQLite store has one process"
            )
        return self

    @property
    def database_url(self) -> str:
        """The configured database, else a SQLite file in the data directory."""
        if self.store.database_url is not None:
            return self.store.database_url.get_secret_value()
        return f"sqlite:///{(self.data / 'interlock.db').absolute()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One setting as it is in effect; secrets masked."""

    key: str
    value: Any
    source: str
    """`default`, the file's name, the variable's name, or `option`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """Checked settings and where they came from."""

    settings: AppSettings
    config_file: Path | None
    sources: Mapping[str, str] = field(repr=False)
    """Dotted key -> source, for keys that are not at their default."""

    def values(self) -> list[Value]:
        """Every setting with its source, secrets masked, in the order of the reference."""
        return [
            Value(key=key, value=_shown(key, value), source=_source(self.sources, key) or "default")
            for key, value in _flatten(self.settings)
        ]


SECTIONS: Mapping[str, type[BaseModel]] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "gateway": GatewaySettings,
    "recorder": RecorderSettings,
    "keys": KeyCacheSettings,
    "limits": LimitSettings,
    "rate_limits": RateLimitSettings,
    "events": EventSettings,
    "chat": ChatSettings,
    "sse": StreamSettings,
    "telemetry": TelemetrySettings,
    "security": SecuritySettings,
    "session": SessionSettings,
    "auth": AuthSettings,
    "features": FeatureSettings,
    "api": ApiSettings,
}
"""Tables of the settings file, besides those of the upstreams."""
_UPSTREAM_KEYS = tuple(UpstreamSettings.model_fields)
_FILE_KEYS = ("data", *SECTIONS, *_UPSTREAM_KEYS)
_SHORT = {
    "HOST": "server.host",
    "PORT": "server.port",
    "DATABASE_URL": "store.database_url",
    "REDIS_URL": "store.redis_url",
    "BLOBS_URL": "store.blobs_url",
    "LOG_LEVEL": "telemetry.log_level",
    "LOG_FORMAT": "telemetry.log_format",
    "DATA": "data",
    "PROXY": "proxy",
    "NO_PROXY": "no_proxy",
    "SECRET_KEY": "bootstrap.secret_key",
    "ADMIN_EMAIL": "bootstrap.admin_email",
    "ADMIN_PASSWORD": "bootstrap.admin_password",
    "BOOTSTRAP_KEY": "bootstrap.bootstrap_key",
}
_VARIABLES: Mapping[str, str] = _SHORT | {
    f"{section}_{name}".upper(): f"{section}.{name}"
    for section, model in SECTIONS.items()
    for name, info in model.model_fields.items()
    if not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel))
}
_PROVIDER_FIELDS = tuple(
    name
    for name, info in ProviderSettings.model_fields.items()
    if get_origin(info.annotation) is not dict
    and name not in {"api_keys", "timeouts", "retries", "breaker"}
)


class _Raw:
    """Values under dotted keys before they are checked, and where each came from."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[str] = []
        self.lenient = ""
        """Keys with this beginning may refer to variables that are not set."""

    def put(self, path: tuple[str, ...], value: object, source: str) -> None:
        node = self.tree
        for name in path[:-1]:
            below = node.setdefault(name, {})
            if not isinstance(below, dict):
                return  # the check reports that it is no table
            node = below
        node[path[-1]] = value
        key = ".".join(path)
        for known in [known for known in self.sources if known.startswith(key + ".")]:
            del self.sources[known]
        self.sources[key] = source


def load_settings(
    *,
    data: Path | None = None,
    config: Path | None = None,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    calls_providers: bool = True,
) -> LoadedSettings:
    """The settings of this start.

    `data` and `config` are the options `--data` and `--config`; `options` are further
    ones by dotted key (`server.port`), None meaning not given. `environ` is the process
    environment unless given. Who calls no provider needs none of its secrets: with
    `calls_providers` false a variable that a provider's table refers to may be missing,
    and the reference stands there instead.

    Raises:
        SettingsError: a file that cannot be read, unknown keys or variables, bad values.
    """
    environ = os.environ if environ is None else environ
    raw = _Raw()
    named = config or _path(environ.get(_PREFIX + "CONFIG"))
    place = data or _path(environ.get(_PREFIX + "DATA")) or AppSettings.model_fields["data"].default
    file = named or place / CONFIG_NAME
    raw.lenient = "" if calls_providers else "providers."
    found = file if _read_file(raw, file, environ, required=named is not None) else None
    _read_variables(raw, environ)
    _read_key_variables(raw, environ)
    for key, value in (dict(options or {}) | {"data": data}).items():
        if value is not None:
            raw.put(tuple(key.split(".")), value, "option")
    settings = _check(raw, found)
    if raw.problems:
        raise SettingsError(raw.problems)
    return LoadedSettings(settings=settings, config_file=found, sources=raw.sources)


def variables() -> Mapping[str, str]:
    """Environment variables and the setting each of them sets, for the reference."""
    own = {_PREFIX + name: key for name, key in _VARIABLES.items()}
    providers = {
        f"{_PREFIX}PROVIDERS_<NAME>_{name.upper()}": f"providers.NAME.{name}"
        for name in _PROVIDER_FIELDS
    }
    return own | providers


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _read_file(raw: _Raw, file: Path, environ: Mapping[str, str], *, required: bool) -> bool:
    try:
        content = tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        if required:
            raise SettingsError([f"{file}: there is no such file"]) from None
        return False
    except OSError as error:
        raise SettingsError([f"{file}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file}: not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{file}: not valid TOML: {error}"]) from None
    for key, value in content.items():
        if key not in _FILE_KEYS:
            raw.problems.append(f"{file.name}: {key}: unknown key{_nearest(key, _FILE_KEYS)}")
            continue
        for path, leaf in _leaves((key,), value):
            resolved, source = leaf, file.name
            if isinstance(leaf, str):
                resolved, source = _referenced(raw, ".".join(path), leaf, file.name, environ)
            raw.put(path, resolved, source)
    folder = file.parent
    files = raw.tree.get("gateway", {})
    if isinstance(files, dict) and isinstance(files.get("policy_files"), list):
        files["policy_files"] = [
            str(folder / name) if isinstance(name, str) and not name.startswith(SHIPPED) else name
            for name in files["policy_files"]
        ]
    return True


def _leaves(path: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _leaves((*path, str(name)), member)
    else:
        yield path, value


def _referenced(
    raw: _Raw, key: str, text: str, file: str, environ: Mapping[str, str]
) -> tuple[str, str]:
    """The text with `${NAME}` replaced from the environment, and where it came from."""
    names = _REFERENCE.findall(text)
    if not names:
        return text, file
    missing = [name for name in names if name not in environ]
    if missing:
        if not raw.lenient or not key.startswith(raw.lenient):
            told = (f"{file}: {key}: the variable `{name}` is not set" for name in missing)
            raw.problems.extend(told)
        # The reference stands in: what the text would be cannot be judged.
        return text, f"{file} (${', $'.join(missing)}: not set)"
    filled = _REFERENCE.sub(lambda found: environ[found[1]], text)
    return filled, f"{file} (${', $'.join(names)})"


def _read_variables(raw: _Raw, environ: Mapping[str, str]) -> None:
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable == _PREFIX + "CONFIG":
            continue
        name = variable.removeprefix(_PREFIX)
        path = _VARIABLES.get(name)
        parts = tuple(path.split(".")) if path is not None else _provider_path(name)
        if parts is None:
            parts = _nested_path(name)
        if parts is None:
            known = (*_VARIABLES, "CONFIG", "PROVIDERS_<NAME>_API_KEY")
            raw.problems.append(f"{variable}: unknown variable{_nearest(name, known, _PREFIX)}")
        elif environ[variable] != "":
            value: object = environ[variable]
            if _is_list(parts):
                value = [item.strip() for item in str(value).split(",") if item.strip()]
            raw.put(parts, value, variable)


def _nested_path(name: str) -> tuple[str, ...] | None:
    """The key of e.g. `SECURITY__COOKIE__DOMAIN`: two underscores between levels."""
    parts = tuple(name.lower().split("__"))
    model: type[BaseModel] | None = SECTIONS.get(parts[0])
    for part in parts[1:]:
        if model is None or part not in model.model_fields:
            return None
        below = model.model_fields[part].annotation
        model = below if isinstance(below, type) and issubclass(below, BaseModel) else None
    return parts if len(parts) > 1 and model is None else None


def _provider_path(name: str) -> tuple[str, ...] | None:
    rest = name.removeprefix("PROVIDERS_")
    if rest == name:
        return None
    for known in _PROVIDER_FIELDS:
        provider = rest.removesuffix("_" + known.upper())
        if provider and provider != rest:
            return "providers", provider.lower(), known
    return None


def _is_list(path: tuple[str, ...]) -> bool:
    if path[0] == "providers":
        return path[-1] in {"models", "formats"}
    return path in {
        ("gateway", "policy_files"),
        ("no_proxy",),
        ("server", "allowed_origins"),
        ("server", "trusted_proxies"),
        ("server", "cors", "allowed_origins"),
    }


def _read_key_variables(raw: _Raw, environ: Mapping[str, str]) -> None:
    """The variables provider keys are commonly kept in, where nothing else was said."""
    sections = raw.tree.get("providers", {})
    if not isinstance(sections, dict):
        return
    kinds = dict(BUILT_IN) | {
        name: section.get("kind", BUILT_IN.get(name))
        for name, section in sections.items()
        if isinstance(section, dict)
    }
    for name, kind in kinds.items():
        row = KINDS.get(kind) if isinstance(kind, str) else None  # type: ignore[call-overload] # raw
        variable = row.key_variable if row is not None else None
        if not variable or not environ.get(variable):
            continue
        section = sections.get(name, {})
        if not isinstance(section, dict) or "api_key" in section or "api_keys" in section:
            continue
        if kind == "azure" and "base_url" not in section:
            continue  # a key alone is no provider there
        raw.put(("providers", name, "api_key"), environ[variable], variable)


def _check(raw: _Raw, file: Path | None) -> AppSettings:
    values: dict[str, Any] = {}
    upstreams = {key: raw.tree[key] for key in _UPSTREAM_KEYS if key in raw.tree}
    models: dict[str, type[BaseModel]] = {**SECTIONS, "bootstrap": BootstrapSettings}
    for section, model in models.items():
        if section in raw.tree:
            _validate(raw, values, section, model, raw.tree[section])
    _validate(raw, values, "upstreams", UpstreamSettings, upstreams)
    place = raw.tree.get("data", values.get("data"))
    if place is not None:
        if isinstance(place, str) and raw.sources.get("data") == (file.name if file else None):
            place = (file.parent if file else Path()) / place
        values["data"] = place
    try:
        return AppSettings(**values)
    except ValidationError as error:
        raw.problems.extend(_problems(raw, error, ()))
        return AppSettings()


def _validate(
    raw: _Raw, values: dict[str, Any], name: str, model: type[BaseModel], content: object
) -> None:
    prefix = () if name == "upstreams" else (name,)
    try:
        values[name] = model.model_validate(content)
    except ValidationError as error:
        raw.problems.extend(_problems(raw, error, prefix, model))


def _problems(
    raw: _Raw,
    error: ValidationError,
    prefix: tuple[str, ...],
    model: type[BaseModel] | None = None,
) -> Iterator[str]:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    for item in details:
        path = (*prefix, *map(str, item["loc"]))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = tuple(model.model_fields) if model is not None and len(item["loc"]) == 1 else ()
            if path[0] == "providers" and len(path) == 3:
                known = tuple(ProviderSettings.model_fields)
            message = f"unknown key{_nearest(path[-1], known)}"
        else:
            message = message[:1].lower() + message[1:]
        key = ".".join(path)
        source = _source(raw.sources, key) or next(
            (place for known, place in raw.sources.items() if known.startswith(key + ".")), None
        )
        if not key:
            yield message
        elif source is None:
            yield f"{key}: {message}"
        elif source.startswith(_PREFIX) or source.isupper():
            yield f"{source}: {message} (sets `{key}`)"
        else:
            yield f"{source}: {key}: {message}"


def _source(sources: Mapping[str, str], key: str) -> str | None:
    """The source of a key, or of the nearest one it stands in."""
    while key:
        if key in sources:
            return sources[key]
        key = key.rpartition(".")[0]
    return None


def _nearest(name: str, known: tuple[str, ...], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean `{prefix}{close[0]}`?" if close else ""


def _flatten(settings: AppSettings) -> Iterator[tuple[str, Any]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name == "upstreams":
            yield from _flatten_value((), value)
        else:
            yield from _flatten_value((name,), value)


def _flatten_value(path: tuple[str, ...], value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _flatten_value((*path, name), getattr(value, name))
    elif isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _flatten_value((*path, str(name)), member)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel | tuple) for item in value):
        for number, item in enumerate(value):
            yield from _flatten_value((*path, str(number)), item)
    else:
        yield ".".join(path), value


def _shown(key: str, value: object) -> object:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return mask_text(text) if key.endswith("_url") else MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_shown(key, item) for item in value]
    if ".headers." in key:
        return MASK
    return mask_members(value)
