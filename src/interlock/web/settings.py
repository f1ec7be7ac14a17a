"""Cookies, CSRF, HSTS, cross-origin access and which features are served.

Names and defaults: conversations.md section 17.
"""

import ipaddress
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "ApiSettings",
    "CookieSettings",
    "CorsSettings",
    "CsrfSettings",
    "FeatureSettings",
    "HstsSettings",
    "SecuritySettings",
    "check_base_url",
    "check_proxies",
]

_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,64}$"


class CookieSettings(BaseModel):
    """Attributes of both cookies of a login session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str | None = Field(default=None, pattern=r"^\.?[A-Za-z0-9.\-]{1,253}$")
    """None: the host that was asked, and no other."""
    secure: Literal["auto", "true", "false"] = "auto"
    """`auto`: when `server.public_base_url` is https."""
    same_site: Literal["lax", "strict", "none"] = "lax"
    """Of the session cookie; the CSRF cookie is always strict."""

    @field_validator("secure", mode="before")
    @classmethod
    def _said(cls, value: object) -> object:
        return str(value).lower() if isinstance(value, bool) else value


class CsrfSettings(BaseModel):
    """The second value that unsafe requests with a cookie must show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    cookie_name: str = Field(default="CSRF-TOKEN", pattern=_NAME)
    """The published clients have this name built in."""
    header_name: str = Field(default="X-CSRF-TOKEN", pattern=_NAME)


class HstsSettings(BaseModel):
    """Strict-Transport-Security."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool | None = None
    """None: when `server.public_base_url` is https."""
    max_age_seconds: int = Field(default=63_072_000, ge=0)
    include_subdomains: bool = True
    preload: bool = False

    def header(self, *, https: bool) -> str | None:
        """The value of the header; None: not to be sent."""
        if not (https if self.enabled is None else self.enabled):
            return None
        parts = [f"max-age={self.max_age_seconds}"]
        parts += ["includeSubDomains"] if self.include_subdomains else []
        parts += ["preload"] if self.preload else []
        return "; ".join(parts)


class SecuritySettings(BaseModel):
    """How browsers are held to their own session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cookie: CookieSettings = CookieSettings()
    csrf: CsrfSettings = CsrfSettings()
    hsts: HstsSettings = HstsSettings()


class CorsSettings(BaseModel):
    """Other origins whose pages may call the APIs with a session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed_origins: tuple[str, ...] = ()
    allow_credentials: bool = False
    """Never together with `*`."""
    max_age_seconds: int = Field(default=600, ge=0)

    @model_validator(mode="after")
    def _not_everybody(self) -> Self:
        if self.allow_credentials and "*" in self.allowed_origins:
            raise ValueError("`allow_credentials` cannot go with the origin `*`")
        return self


class FeatureSettings(BaseModel):
    """Groups of routes that can be switched off; they are 404 then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auth_v1: bool = True
    sse_v1: bool = True
    well_known: bool = False


class ApiSettings(BaseModel):
    """Further APIs of the chat server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    openai_compat: bool = True
    """Whether the OpenAI-style endpoints at `/v1` and `/api/v1` are there."""


def check_base_url(value: str | None) -> str | None:
    """The address without a final slash; raises ValueError when it is none."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise ValueError("must be like `https://interlock.example`")
    return value.rstrip("/")


def check_proxies(value: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks; raises ValueError for anything else."""
    for one in value:
        ipaddress.ip_network(one, strict=False)
    return value
