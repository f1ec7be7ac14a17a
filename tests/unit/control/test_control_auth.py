"""Credentials and the other headers of a request."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.surfaces.control.auth import (
    Credentials,
    check_scopes,
    credentials,
    forwarded,
    read_headers,
)


def of(*pairs: tuple[str, str]) -> Credentials:
    return credentials(read_headers([(name.encode(), value.encode()) for name, value in pairs]))


def refused(*pairs: tuple[str, str]) -> tuple[ErrorKind, str]:
    with pytest.raises(InterlockError) as caught:
        of(*pairs)
    return caught.value.error_kind, caught.value.error_code


def test_authorization_is_the_gateways_key_and_x_api_key_the_providers() -> None:
    found = of(("authorization", "Bearer sq-1"), ("x-api-key", "sk-2"))

    assert (found.gateway_key, found.byok, found.source) == ("sq-1", "sk-2", "authorization")


def test_x_api_key_alone_is_the_gateways_key_as_native_anthropic_clients_send_it() -> None:
    found = of(("x-api-key", "sq-1"))

    assert (found.gateway_key, found.byok, found.source) == ("sq-1", None, "x-api-key")


def test_authorization_alone_means_the_servers_own_provider_key() -> None:
    assert of(("authorization", "bearer  sq-1 ")).gateway_key == "sq-1"
    assert of(("authorization", "Bearer sq-1"), ("x-api-key", " ")).byok is None


def test_the_gateways_key_in_both_headers_never_goes_to_the_provider() -> None:
    assert of(("authorization", "Bearer sq-1"), ("x-api-key", "sq-1")).byok is None


def test_no_credentials_are_missing_and_malformed_ones_invalid() -> None:
    assert refused() == (ErrorKind.UNAUTHENTICATED, "missing_api_key")
    assert refused(("x-api-key", "")) == (ErrorKind.UNAUTHENTICATED, "missing_api_key")


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic abc", "sq-1", "Bearer a b", "Bearer ü", "Bearer a\x7f"],
)
def test_malformed_authorization_is_invalid_even_beside_a_good_x_api_key(value: str) -> None:
    assert refused(("authorization", value), ("x-api-key", "sq-1")) == (
        ErrorKind.UNAUTHENTICATED,
        "invalid_api_key",
    )


def test_conflicting_repetitions_are_refused_and_equal_ones_are_not() -> None:
    first, second = ("authorization", "Bearer a"), ("authorization", "Bearer b")

    assert refused(first, second) == (ErrorKind.INVALID, "invalid_header")
    assert of(first, first).gateway_key == "a"
    with pytest.raises(InterlockError, match="X-Policy: given more than once"):
        read_headers([(b"x-policy", b"{}"), (b"x-policy", b'{"mode":"strict"}')])


def test_invalid_utf8_names_the_header_unless_nothing_depends_on_it() -> None:
    for name, shown in ((b"authorization", "Authorization"), (b"x-session-id", "X-Session-ID")):
        with pytest.raises(InterlockError) as caught:
            read_headers([(name, b"Bearer \xff")])
        assert caught.value.message == f"{shown}: not valid UTF-8"
        assert caught.value.error_code == "invalid_header"
        assert caught.value.param == shown

    assert read_headers([(b"user-agent", b"caf\xe9"), (b"x-other", b"\xff")]).user_agent is None


def test_everything_known_is_collected_in_one_pass_and_the_rest_left() -> None:
    headers = read_headers(
        [
            (b"host", b"localhost"),
            (b"x-session-id", b" 0f6c "),
            (b"x-features", b' {"agent_arch":null} '),
            (b"anthropic-version", b"2023-06-01"),
            (b"anthropic-beta", b"a"),
            (b"anthropic-beta", b"b"),
            (b"session-id", b"codex-1"),
            (b"traceparent", b"00-1-2-01"),
            (b"content-length", b"2"),
        ]
    )

    assert headers.session_id == "0f6c"
    assert headers.x_features == b'{"agent_arch":null}'
    assert (headers.x_policy, headers.x_config) == (b"", b"")
    assert headers.anthropic_beta == "a,b"
    assert headers.native
    assert headers.client_session == "codex-1"
    assert headers.traceparent == "00-1-2-01"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(b"x-claude-code-session-id", b"c"), (b"session-id", b"s")], "c"),
        ([(b"session-id", b"s"), (b"thread-id", b"t")], "s"),
        ([(b"thread-id", b"t")], "t"),
        ([], None),
    ],
)
def test_a_coding_clients_own_session_is_found(
    pairs: list[tuple[bytes, bytes]], expected: str | None
) -> None:
    assert read_headers(pairs).client_session == expected


def test_representations_never_show_a_secret() -> None:
    headers = read_headers([(b"authorization", b"Bearer sq-secret"), (b"x-api-key", b"sk-secret")])

    assert "secret" not in repr(headers)
    assert "secret" not in repr(credentials(headers))


def test_provider_account_headers_go_upstream_only_with_the_callers_own_key() -> None:
    headers = read_headers(
        [
            (b"anthropic-version", b"2023-06-01"),
            (b"anthropic-beta", b"x"),
            (b"openai-beta", b"y"),
            (b"openai-organization", b"org"),
            (b"openai-project", b"proj"),
        ]
    )

    assert forwarded(headers, "messages", byok=False) == (
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "x"),
    )
    assert forwarded(headers, "chat", byok=False) == (("openai-beta", "y"),)
    assert forwarded(headers, "responses", byok=True) == (
        ("openai-beta", "y"),
        ("openai-organization", "org"),
        ("openai-project", "proj"),
    )


def key(*scopes: str) -> KeyInfo:
    return KeyInfo(
        id="k", account_id="a", user_id="u", user_email="e", label="l", scopes=frozenset(scopes)
    )


@pytest.mark.parametrize(
    ("scopes", "endpoint", "provider", "allowed"),
    [
        ((), "chat", "openai", True),
        (("endpoint:chat",), "chat", "openai", True),
        (("endpoint:chat",), "code", "openai", False),
        (("provider:openai",), "code", "openai", True),
        (("provider:openai",), "code", "anthropic", False),
        (("provider:openai",), "code", None, True),
        (("endpoint:chat", "provider:openai"), "chat", "anthropic", False),
        (("endpoint:chat", "endpoint:code"), "code", "x", True),
        (("admin",), "chat", "openai", False),
        (("admin", "endpoint:chat"), "chat", "openai", True),
    ],
)
def test_scopes_restrict_the_dimension_they_name(
    scopes: tuple[str, ...], endpoint: str, provider: str | None, allowed: bool
) -> None:
    if allowed:
        check_scopes(key(*scopes), endpoint, provider)
        return
    with pytest.raises(InterlockError) as caught:
        check_scopes(key(*scopes), endpoint, provider)
    assert (caught.value.error_kind, caught.value.error_code) == (ErrorKind.FORBIDDEN, "forbidden")


names = st.sampled_from([b"authorization", b"x-api-key", b"x-policy", b"user-agent", b"x-zzz"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(names, st.binary(max_size=20)), max_size=6))
def test_any_headers_are_read_or_refused_as_an_error_of_ours(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    try:
        found = credentials(read_headers(pairs))
    except InterlockError:
        return
    assert found.gateway_key.isascii()
