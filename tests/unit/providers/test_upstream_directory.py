"""Names to routes: providers, allow-lists, aliases, defaults, prices."""

from pathlib import Path
from typing import Any

import pytest

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers import adapters
from interlock.providers.build import build_upstreams
from interlock.providers.catalog import BUILT_IN, DEFAULTS, KINDS
from interlock.providers.model import Price, Route
from interlock.providers.prices import PRICES, list_price, well_known
from interlock.providers.registry import ADAPTERS
from interlock.providers.router import Router
from interlock.providers.settings import load_settings

KEY = "sk-server-0123456789abcdef"
LOCAL = {"base_url": "http://127.0.0.1:11434"}


class Demo:
    """Stands for the demo model where nothing is sent."""

    async def handle(self, method: str, path: str, headers: Any, body: bytes) -> Any:
        raise AssertionError


def router(**settings: Any) -> Router:
    return build_upstreams(load_settings(settings), demo=Demo())


def failure(subject: Router, *args: Any, **kwargs: Any) -> InterlockError:
    with pytest.raises(InterlockError) as caught:
        subject.resolve(*args, **kwargs)
    return caught.value


def names(route: Route) -> list[list[str]]:
    return [[target.deployment for target in group] for group in route.groups]


def test_a_plain_name_leads_to_one_deployment() -> None:
    route = router(providers={"openai": {"api_key": KEY}}).resolve("openai", "gpt-4o")

    target = route.groups[0][0]
    assert (route.provider, route.model, names(route)) == ("openai", "gpt-4o", [["openai/gpt-4o"]])
    assert (target.model, target.formats, target.price) == (
        "gpt-4o",
        ("chat", "responses"),
        Price(input=2.5, output=10, cache_read=1.25),
    )


def test_a_route_is_made_once() -> None:
    subject = router(providers={"openai": {"api_key": KEY}})

    assert subject.resolve("openai", "m") is subject.resolve("openai", "m")


def test_the_cache_holds_no_caller_key_and_does_not_mix_callers() -> None:
    subject = router(providers={"openai": {"api_key": KEY}})
    first = subject.resolve("openai", "m", byok="sk-caller-one-11111")
    second = subject.resolve("openai", "m", byok="sk-caller-two-22222")

    assert (first.byok, second.byok) == ("sk-caller-one-11111", "sk-caller-two-22222")
    assert subject.resolve("openai", "m").byok is None
    assert "caller" not in repr(vars(subject._directory)) + repr(first)


def test_very_many_names_do_not_fill_the_memory() -> None:
    subject = router(providers={"openai": {"api_key": KEY}})
    for number in range(10_000):
        subject.resolve("openai", f"m{number}")

    assert len(subject._directory._cache) <= 4096


def test_an_unknown_provider_is_not_found() -> None:
    error = failure(router(), "nobody", "m")

    assert (error.error_kind, error.error_code) == (ErrorKind.NOT_FOUND, "not_found")


def test_a_disabled_provider_does_not_exist() -> None:
    subject = router(providers={"openai": {"api_key": KEY, "enabled": False}})

    assert failure(subject, "openai", "m").error_kind is ErrorKind.NOT_FOUND
    assert failure(subject, "openai", "m", byok="k").error_kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("name", ["openai", "openrouter", "anthropic", "llama", "sequrity_azure"])
def test_a_provider_without_key_is_not_configured(name: str) -> None:
    error = failure(router(), name, "m")

    assert (error.error_kind, error.error_code) == (
        ErrorKind.UNAVAILABLE,
        "provider_not_configured",
    )


@pytest.mark.parametrize("name", ["openai", "openrouter", "anthropic", "llama"])
def test_a_caller_key_makes_a_known_provider_usable_with_any_model(name: str) -> None:
    route = router(providers={name: {"models": ["only-this"]}}).resolve(name, "x", byok="k-caller")

    assert (names(route), route.byok) == ([[f"{name}/x"]], "k-caller")


def test_azure_without_endpoint_cannot_be_used_even_with_a_caller_key() -> None:
    error = failure(router(), "sequrity_azure", "m", byok="k")

    assert error.error_code == "provider_not_configured"
    assert error.hint == "set `providers.sequrity_azure.base_url`"


def test_caller_keys_can_be_forbidden() -> None:
    subject = router(providers={"openai": {"api_key": KEY, "byok": False}})

    assert failure(subject, "openai", "m", byok="k").error_code == "byok_not_allowed"


@pytest.mark.parametrize(
    ("model", "allowed"), [("a", True), ("b-1", True), ("b-", True), ("b", False), ("c", False)]
)
def test_the_allow_list_binds_the_server_key(model: str, allowed: bool) -> None:
    subject = router(providers={"openai": {"api_key": KEY, "models": ["a", "b-*"]}})
    if allowed:
        subject.resolve("openai", model)
        return
    error = failure(subject, "openai", model)

    assert (error.error_kind, error.error_code, error.param) == (
        ErrorKind.INVALID,
        "model_not_allowed",
        "model",
    )
    assert f"`{model}`" in error.message


def test_a_call_the_provider_does_not_have_is_unsupported() -> None:
    subject = router(providers={"anthropic": {"api_key": KEY}, "openai": {"api_key": KEY}})

    assert failure(subject, "anthropic", "m", operation="embeddings").error_kind is (
        ErrorKind.UNSUPPORTED
    )
    assert failure(subject, "openai", "m", operation="count_tokens").error_code == (
        "operation_unsupported"
    )
    subject.resolve("anthropic", "m", operation="count_tokens")


ALIASES = {
    "fast": [
        [
            {"provider": "openai", "model": "a", "weight": 3, "key": "k1"},
            {"provider": "ollama", "model": "b"},
        ],
        [{"provider": "anthropic", "model": "c"}],
    ]
}
POOL = [{"name": "k1", "key": KEY}, {"name": "k2", "key": KEY + "2"}]


def aliased() -> Router:
    return router(
        providers={
            "openai": {"api_keys": POOL, "models": []},
            "ollama": LOCAL,
            "anthropic": {"api_key": KEY},
        },
        aliases=ALIASES,
    )


def test_an_alias_leads_to_its_groups_in_order() -> None:
    route = aliased().resolve(None, "fast")

    assert names(route) == [["openai/a#k1", "ollama/b"], ["anthropic/c"]]
    assert (route.provider, route.groups[0][0].weight, route.groups[0][0].key) == (
        "openai",
        3.0,
        "k1",
    )


def test_an_alias_with_a_caller_key_stays_with_the_provider_of_the_path() -> None:
    route = aliased().resolve("ollama", "fast", byok="k-caller")

    assert (route.provider, names(route)) == ("ollama", [["ollama/b"]])


def test_a_caller_key_is_not_replaced_by_a_pinned_server_key() -> None:
    route = aliased().resolve("openai", "fast", byok="k-caller")

    assert names(route) == [["openai/a"]]
    assert route.groups[0][0].key is None


def test_an_alias_that_has_nothing_of_the_provider_is_just_a_name_for_a_caller_key() -> None:
    route = aliased().resolve("llama", "fast", byok="k-caller")

    assert names(route) == [["llama/fast"]]


def test_an_alias_skips_what_is_not_configured() -> None:
    subject = router(
        providers={"ollama": LOCAL},
        aliases={
            "fast": [{"provider": "openai", "model": "a"}, {"provider": "ollama", "model": "b"}]
        },
    )

    assert names(subject.resolve(None, "fast")) == [["ollama/b"]]


def test_an_alias_with_nothing_usable_is_not_configured() -> None:
    subject = router(aliases={"fast": {"provider": "openai", "model": "a"}})

    assert failure(subject, None, "fast").error_code == "provider_not_configured"


@pytest.mark.parametrize("suffix", DEFAULTS)
def test_the_published_default_is_used_when_it_can_be(suffix: Any) -> None:
    every = {name: {"api_key": KEY} for name in ("openrouter", "anthropic", "openai")}
    subject = router(providers={**every, "ollama": LOCAL})

    assert subject.default_provider(suffix) == DEFAULTS[suffix]


@pytest.mark.parametrize("suffix", DEFAULTS)
def test_a_fresh_server_falls_back_to_the_demo_model(suffix: Any) -> None:
    subject = router()

    assert subject.default_provider(suffix) == "demo"
    assert subject.resolve(None, "m", suffix=suffix).provider == "demo"


def test_the_only_configured_provider_is_the_default() -> None:
    subject = router(providers={"ollama": LOCAL})

    assert {subject.default_provider(suffix) for suffix in DEFAULTS} == {"ollama"}


def test_among_several_the_one_that_speaks_the_format_is_the_default() -> None:
    subject = router(
        providers={"ollama": LOCAL, "proxy": {"kind": "anthropic", "api_key": KEY, **LOCAL}}
    )

    assert subject.default_provider("messages") == "proxy"
    assert subject.default_provider("chat/completions") == "ollama"


def test_a_caller_key_goes_to_the_published_default_not_to_whatever_is_configured() -> None:
    subject = router(providers={"ollama": LOCAL})

    assert subject.resolve(None, "m", byok="k-caller").provider == "openrouter"
    assert subject.resolve(None, "m", byok="k-caller", suffix="messages").provider == "anthropic"


def test_a_configured_default_wins_for_everyone() -> None:
    subject = router(providers={"ollama": LOCAL}, defaults={"messages": "ollama"})

    assert subject.default_provider("messages") == "ollama"
    assert subject.default_provider("messages", byok=True) == "ollama"


def test_models_lists_aliases_and_what_configured_providers_offer() -> None:
    subject = router(
        providers={
            "openai": {"api_key": KEY, "models": ["x", "gpt-4o*"]},
            "ollama": {**LOCAL, "models": ["llama3"]},
        },
        aliases={"fast": {"provider": "ollama", "model": "llama3"}},
    )

    assert subject.models("ollama") == ["fast", "llama3"]
    assert subject.models("openai") == ["fast", "x", "gpt-4o", "gpt-4o-mini"]
    assert subject.models(None) == ["fast", "x", "gpt-4o", "gpt-4o-mini", "llama3", "demo"]
    with pytest.raises(InterlockError, match="does not exist"):
        subject.models("nobody")


def test_a_bare_origin_means_v1_and_a_path_is_kept() -> None:
    subject = router(
        providers={
            "bare": LOCAL,
            "deep": {"base_url": "http://127.0.0.1/openai/v2/"},
        }
    )
    paths = [
        subject._providers[name].adapter.path("generate", "chat", "m") for name in ("bare", "deep")
    ]

    assert paths == ["/v1/chat/completions", "/openai/v2/chat/completions"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_adapter_and_a_path_for_each_format_it_speaks(kind: Any) -> None:
    row = KINDS[kind]

    assert row.adapter in ADAPTERS
    assert set(row.formats) <= set(row.generate)
    assert row.base_url is None or row.base_url.startswith(("https://", "http://demo.invalid"))


def test_every_adapter_file_is_registered_and_used() -> None:
    files = {path.stem for path in Path(adapters.__path__[0]).glob("*.py")} - {"__init__"}

    assert files == set(ADAPTERS) == {row.adapter for row in KINDS.values()}
    assert set(BUILT_IN.values()) <= set(KINDS)


@pytest.mark.parametrize(
    ("kind", "model", "price"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", PRICES["gpt-4.1-mini"]),
        ("anthropic", "claude-sonnet-4-5-20250929", PRICES["claude-sonnet-4-5"]),
        ("anthropic", "claude-3-5-haiku-latest", PRICES["claude-3-5-haiku"]),
        ("openrouter", "anthropic/claude-sonnet-4.5", PRICES["claude-sonnet-4-5"]),
        ("openrouter", "openai/gpt-5-mini", PRICES["gpt-5-mini"]),
        ("openrouter", "some/model:free", Price()),
        ("openrouter", "openai/gpt-5-mini:nitro", None),
        ("openrouter", "gpt-5-mini", None),
        ("openai", "claude-sonnet-4-5", None),
        ("compatible", "gpt-4o", None),
        ("demo", "anything", Price()),
        ("openai", "", None),
    ],
)
def test_list_prices(kind: str, model: str, price: Price | None) -> None:
    assert list_price(kind, model) == price


def test_well_known_models_have_prices() -> None:
    for kind in ("openai", "anthropic", "openrouter"):
        assert all(list_price(kind, model) is not None for model in well_known(kind))


def test_a_configured_price_replaces_the_list_price() -> None:
    subject = router(
        providers={
            "openai": {"api_key": KEY, "prices": {"gpt-4o": {"input": 9}}},
            "ollama": LOCAL,
        }
    )

    assert subject.resolve("openai", "gpt-4o").groups[0][0].price == Price(input=9)
    assert subject.resolve("ollama", "gpt-4o").groups[0][0].price is None
