"""Paths to operations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequrity.control._constants import build_control_url, build_policy_gen_url
from sequrity.control.types.enums import EndpointType
from sequrity.types.enums import LlmServiceProvider, RestApiType

from interlock.gateway.config import ENDPOINTS
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.surfaces.control.routing import (
    PUBLISHED_PROVIDERS,
    Route,
    Router,
    refusal,
)

ROUTER = Router(["demo", "my-azure"])


def failure(method: str, path: str) -> InterlockError:
    with pytest.raises(InterlockError) as caught:
        ROUTER.resolve(method, path)
    return caught.value


def where(method: str, path: str) -> tuple[str | None, str | None, str]:
    route = ROUTER.resolve(method, path)
    return route.endpoint, route.provider, route.operation


@pytest.mark.parametrize("endpoint", list(EndpointType))
@pytest.mark.parametrize("provider", [None, *LlmServiceProvider])
@pytest.mark.parametrize("api", list(RestApiType))
def test_every_url_the_typed_client_builds_is_a_route(
    endpoint: EndpointType, provider: LlmServiceProvider | None, api: RestApiType
) -> None:
    url = build_control_url("", endpoint, api, provider)

    operation = {"chat_completions": "chat"}.get(api.value, api.value)
    assert where("POST", url) == (endpoint.value, provider, operation)


def test_policy_generation_urls_of_the_client_are_routes() -> None:
    assert where("POST", build_policy_gen_url("", "openrouter_chat_completion")) == (
        "policy-gen",
        None,
        "generate",
    )
    for kind, provider in (
        ("oai_chat_completion", "openai"),
        ("anthropic_messages", "anthropic"),
        ("sequrity_azure_responses", "sequrity_azure"),
    ):
        assert where("POST", build_policy_gen_url("", kind))[1] == provider


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("provider", [None, *PUBLISHED_PROVIDERS, "demo", "my-azure"])
def test_the_whole_matrix_is_served_and_generate_only_under_policy_gen(
    endpoint: str, provider: str | None
) -> None:
    stem = f"/control/{endpoint}/{provider}/v1" if provider else f"/control/{endpoint}/v1"
    completions = {"chat/completions": "chat", "messages": "messages", "responses": "responses"}
    for suffix, operation in (completions | {"generate": "generate"}).items():
        belongs = (suffix == "generate") == (endpoint == "policy-gen")
        if belongs:
            assert where("POST", f"{stem}/{suffix}") == (endpoint, provider, operation)
        else:
            assert failure("POST", f"{stem}/{suffix}").error_kind is ErrorKind.NOT_FOUND
    assert where("GET", f"{stem}/models") == (endpoint, provider, "models")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/control", Route(operation="root", methods=("GET", "HEAD"), needs_key=False)),
        ("GET", "/control/", Route(operation="root", methods=("GET", "HEAD"), needs_key=False)),
        (
            "HEAD",
            "/control/health",
            Route(operation="health", methods=("GET", "HEAD"), needs_key=False),
        ),
        ("POST", "/control/v1/validate-headers", Route(operation="validate", needs_key=False)),
        (
            "POST",
            "/control/code/anthropic/v1/messages?beta=true",
            Route(operation="messages", endpoint="code", provider="anthropic", format="messages"),
        ),
        (
            "POST",
            "/control/code/anthropic/v1/messages/count_tokens?beta=true",
            Route(
                operation="count_tokens", endpoint="code", provider="anthropic", format="messages"
            ),
        ),
        (
            "POST",
            "/control/chat/v1/embeddings/",
            Route(operation="embeddings", endpoint="chat", format="chat"),
        ),
        (
            "GET",
            "/control/chat/v1/responses/resp_1",
            Route(
                operation="response_get",
                endpoint="chat",
                format="responses",
                response_id="resp_1",
                methods=("GET", "HEAD", "DELETE"),
            ),
        ),
        (
            "DELETE",
            "/control/chat/openai/v1/responses/resp_1/",
            Route(
                operation="response_delete",
                endpoint="chat",
                provider="openai",
                format="responses",
                response_id="resp_1",
                methods=("GET", "HEAD", "DELETE"),
            ),
        ),
        (
            "GET",
            "/control/chat/v1/responses/resp_1/input_items?limit=20",
            Route(
                operation="response_items",
                endpoint="chat",
                format="responses",
                response_id="resp_1",
                methods=("GET", "HEAD"),
            ),
        ),
        (
            "POST",
            "/control/chat/v1/responses/resp_1/cancel",
            Route(
                operation="response_cancel",
                endpoint="chat",
                format="responses",
                response_id="resp_1",
            ),
        ),
        (
            "GET",
            "/control/chat/v1/models/openai%2Fgpt-5",
            Route(
                operation="model", endpoint="chat", model="openai/gpt-5", methods=("GET", "HEAD")
            ),
        ),
        (
            "GET",
            "/control/chat/v1/models/openai/gpt-5",
            Route(
                operation="model", endpoint="chat", model="openai/gpt-5", methods=("GET", "HEAD")
            ),
        ),
    ],
)
def test_a_path_means_this_operation(method: str, path: str, expected: Route) -> None:
    assert ROUTER.resolve(method, path) == expected
    assert ROUTER.resolve(method.encode(), path.encode()) == expected


def test_doubled_and_encoded_slashes_of_base_urls_do_not_matter() -> None:
    assert where("POST", "/control/code/anthropic//v1/messages") == (
        "code",
        "anthropic",
        "messages",
    )
    assert where("POST", "//control/chat/v1/chat/completions/")[2] == "chat"
    assert where("POST", "/control/%63hat/v1/messages")[2] == "messages"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/control/chat/v1", "unknown operation"),
        ("/control/chat", "version segment"),
        ("/control/talk/v1/messages", "unknown endpoint type `talk`"),
        ("/control/chat/acme/v1/messages", "unknown provider `acme`"),
        ("/control/chat/openai/v2/messages", "version segment"),
        ("/control/chat/v2/messages", "unknown provider `v2`"),
        ("/control/chat/v1/completions", "unknown operation of `chat` `completions`"),
        ("/control/chat/v1/messages/extra/parts", "unknown operation"),
        ("/control/chat/v1%2Fmessages", "unknown provider"),
        ("/control/../control/chat/v1/messages", "no such path"),
        ("/control/%2e%2e/x", "no such path"),
        ("/control/chat/%ff/v1/messages", "not valid UTF-8"),
        ("/control/chat%00/v1/messages", "no such path"),
        ("/other", "no such path"),
        ("", "no such path"),
        ("/control/annotations/v1/other", "unknown endpoint type"),
    ],
)
def test_an_unknown_path_is_not_found_and_says_which_part(path: str, words: str) -> None:
    error = failure("POST", path)

    assert (error.error_kind, error.error_code) == (ErrorKind.NOT_FOUND, "not_found")
    assert words in error.message
    assert ROUTER.match("POST", path) is None


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/control/chat/v1/chat/completions", ("POST",)),
        ("HEAD", "/control/chat/openai/v1/responses", ("POST",)),
        ("PUT", "/control/chat/v1/responses/resp_1", ("GET", "HEAD", "DELETE")),
        ("POST", "/control/chat/v1/models", ("GET", "HEAD")),
        ("GET", "/control/v1/validate-headers", ("POST",)),
        ("GET", "/control/policy-gen/v1/generate", ("POST",)),
        ("POST", "/control/health", ("GET", "HEAD")),
        ("DELETE", "/control/annotations/v1/sessions/s", ("POST", "GET", "HEAD")),
    ],
)
def test_another_method_is_not_allowed_and_the_answer_says_which_are(
    method: str, path: str, allow: tuple[str, ...]
) -> None:
    error = failure(method, path)

    assert error.error_kind is ErrorKind.METHOD
    assert error.details["allow"] == list(allow)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/control/annotations/v1/sessions/batch", None),
        ("GET", "/control/annotations/v1/sessions/s1", None),
        ("DELETE", "/control/annotations/v1/sessions/s1/a1", None),
        ("POST", "/control/policy-gen/openai/v1/generate", None),
        ("POST", "/control/lang-graph/v1/chat/completions", None),
        ("POST", "/control/chat/v1/responses/r/cancel", "invalid_request"),
        ("POST", "/control/chat/v1/chat/completions", None),
        ("GET", "/control/lang-graph/v1/models", None),
        ("POST", "/control/lang-graph/v1/messages/count_tokens", None),
    ],
)
def test_what_is_recognised_but_not_executed_says_so(
    method: str, path: str, code: str | None
) -> None:
    error = refusal(ROUTER.resolve(method, path))

    assert (error.error_code if error else None) == code


def test_hot_paths_are_remembered_but_ids_and_long_queries_are_not() -> None:
    router = Router()
    path = b"/control/chat/v1/chat/completions"
    assert router.resolve(b"POST", path) is router.resolve(b"POST", path)
    for n in range(10_000):
        router.resolve("GET", f"/control/chat/v1/responses/resp_{n}")
        router.resolve("POST", f"/control/chat/v1/messages?q={n}{'x' * 300}")
    assert len(router._cache) == 1
    for n in range(10_000):
        router.resolve("POST", f"/control/chat/v1/messages?q={n}")
    assert len(router._cache) <= 4096


def test_the_listing_names_every_route_and_each_of_them_resolves() -> None:
    listed = ROUTER.list_routes()

    assert {"method": "POST", "path": "/control/chat/v1/chat/completions"} in listed
    assert {"method": "GET", "path": "/control"} in listed
    assert {"method": "POST", "path": "/control/policy-gen/demo/v1/generate"} in listed
    assert len({(item["method"], item["path"]) for item in listed}) == len(listed)
    for item in listed:
        ROUTER.resolve(item["method"], item["path"].replace("{id}", "some-id"))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["control", "chat", "v1", "openai", "responses", "models", "%", "%zz", ".."]
        )
        | st.text(max_size=4),
        max_size=8,
    )
)
def test_any_path_is_a_route_or_an_error_of_ours(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    try:
        ROUTER.resolve("POST", path)
    except InterlockError as error:
        assert error.error_kind in {ErrorKind.NOT_FOUND, ErrorKind.METHOD}  # noqa: PT017
