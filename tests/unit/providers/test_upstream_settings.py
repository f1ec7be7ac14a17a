"""Settings of the upstreams: what is accepted, and errors that name the key and no secret."""

from pathlib import Path
from typing import Any

import pytest

from interlock.providers.build import build_upstreams
from interlock.providers.http import HttpClient
from interlock.providers.model import Price
from interlock.providers.settings import UpstreamSettingsError, load_settings

SECRET = "sk-very-secret-0123456789"


def test_nothing_configured_is_fine() -> None:
    assert load_settings({}).providers == {}


def test_the_kind_follows_from_the_name_or_is_compatible() -> None:
    settings = load_settings(
        {
            "providers": {
                "openai": {"api_key": SECRET},
                "sequrity_azure": {"base_url": "https://x.openai.azure.com"},
                "ollama": {"base_url": "http://127.0.0.1:11434"},
                "spare": {"kind": "anthropic"},
            }
        }
    )

    kinds = {name: section.kind for name, section in settings.providers.items()}
    assert kinds == {
        "openai": "openai",
        "sequrity_azure": "azure",
        "ollama": "compatible",
        "spare": "anthropic",
    }


def test_strings_from_an_environment_become_numbers_and_flags() -> None:
    section = load_settings(
        {
            "providers": {
                "openai": {
                    "api_key": f"  {SECRET}\n",
                    "max_concurrency": "7",
                    "byok": "false",
                    "timeouts": {"connect_s": "2.5"},
                    "retries": {"attempts": "0"},
                }
            }
        }
    ).providers["openai"]

    assert section.keys[0].key.get_secret_value() == SECRET
    assert (section.max_concurrency, section.byok, section.timeouts.connect_s) == (7, False, 2.5)
    assert section.retries.attempts == 0


def test_a_price_is_taken_as_given() -> None:
    section = load_settings(
        {"providers": {"openai": {"prices": {"m": {"input": 1, "output": 2, "cache_read": 0.1}}}}}
    ).providers["openai"]

    assert section.prices["m"].price() == Price(input=1, output=2, cache_read=0.1)


@pytest.mark.parametrize(
    ("written", "groups"),
    [
        ({"provider": "openai", "model": "a"}, [["a"]]),
        (
            [{"provider": "openai", "model": "a"}, {"provider": "openai", "model": "b"}],
            [["a"], ["b"]],
        ),
        (
            [
                [{"provider": "openai", "model": "a"}, {"provider": "openai", "model": "b"}],
                [{"provider": "openai", "model": "c"}],
            ],
            [["a", "b"], ["c"]],
        ),
    ],
)
def test_an_alias_is_one_deployment_a_chain_or_groups(
    written: Any, groups: list[list[str]]
) -> None:
    alias = load_settings({"aliases": {"fast": written}}).aliases["fast"]

    assert [[deployment.model for deployment in group] for group in alias] == groups


def azure(**more: Any) -> dict[str, Any]:
    return {"providers": {"sequrity_azure": more}}


def provider(**more: Any) -> dict[str, Any]:
    return {"providers": {"ollama": {"base_url": "http://127.0.0.1", **more}}}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"providers": {"ollama": {}}}, "providers.ollama.base_url: is required"),
    (azure(api_key=SECRET), "providers.sequrity_azure.base_url: is required"),
    (provider(base_url="ftp://x"), "providers.ollama.base_url: must be an http or https URL"),
    (provider(base_url="127.0.0.1:80"), "providers.ollama.base_url"),
    (provider(base_url="http://u:p@x"), "providers.ollama.base_url: must not contain"),
    (provider(base_url="http://x/v1?k=1"), "providers.ollama.base_url: must not contain"),
    (provider(base_url="http://x/a b"), "providers.ollama.base_url"),
    (provider(base_url="http://x:99999"), "providers.ollama.base_url"),
    (provider(base_ur="http://x"), "providers.ollama.base_ur"),
    (provider(kind="mystery"), "providers.ollama.kind"),
    (provider(api_key=f"{SECRET}\r\nx: y"), "providers.ollama.api_key"),
    (provider(api_key=""), "providers.ollama.api_key"),
    (provider(api_key=[SECRET]), "providers.ollama.api_key"),
    (provider(api_key=SECRET, api_keys=[{"name": "a", "key": SECRET}]), "providers.ollama"),
    (provider(api_keys=[{"name": "a", "key": SECRET}] * 2), "same name"),
    (provider(formats=["chat", "soap"]), "providers.ollama.formats.1"),
    ({"providers": {"anthropic": {"formats": ["chat"]}}}, "providers.anthropic: formats"),
    (provider(timeouts={"idle_s": 0}), "providers.ollama.timeouts.idle_s"),
    (provider(retries={"attempts": -1}), "providers.ollama.retries.attempts"),
    (provider(headers={"x y": "1"}), "providers.ollama.headers"),
    (provider(headers={"x": "1\r\n2"}), "providers.ollama.headers"),
    (provider(proxy="socks5://x"), "providers.ollama.proxy"),
    ({"providers": {"Open AI": {"base_url": "http://x"}}}, "providers.Open AI"),
    (
        {"providers": {"demo": {"kind": "compatible", "base_url": "http://x"}}},
        "providers.demo.kind",
    ),
    ({"providers": ["openai"]}, "providers"),
    ({"providers": {"openai": SECRET}}, "providers.openai"),
    ({"proxy": "https://x"}, "proxy"),
    ({"defaults": {"messages": "nobody"}}, "defaults.messages: provider `nobody` does not exist"),
    ({"defaults": {"sonnets": "openai"}}, "defaults.sonnets"),
    (
        {"aliases": {"fast": {"provider": "nobody", "model": "m"}}},
        "aliases.fast.0: provider `nobody`",
    ),
    (
        {"aliases": {"fast": {"provider": "openai", "model": "m", "key": "x"}}},
        "aliases.fast.0: key `x`",
    ),
    ({"aliases": {"fast": []}}, "aliases.fast"),
    ({"aliases": {"fast": {"provider": "openai", "model": "m", "weight": 0}}}, "weight"),
]


@pytest.mark.parametrize(("data", "named"), WRONG)
def test_an_error_names_the_key_and_not_its_value(data: dict[str, Any], named: str) -> None:
    with pytest.raises(UpstreamSettingsError) as caught:
        load_settings(data)

    assert named in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is None


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(UpstreamSettingsError) as caught:
        load_settings(
            {"providers": {"a": {"base_url": "x"}, "b": {"base_url": "http://b", "retries": 1}}}
        )

    assert "providers.a.base_url" in caught.value.message
    assert "providers.b.retries" in caught.value.message


def test_keys_show_in_no_representation() -> None:
    settings = load_settings(
        {
            "proxy": f"http://user:{SECRET}@127.0.0.1:3128",
            "providers": {
                "openai": {"api_key": SECRET, "proxy": f"http://u:{SECRET}@127.0.0.1"},
                "anthropic": {"api_keys": [{"name": "a", "key": SECRET}]},
            },
        }
    )

    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert SECRET not in settings.model_dump_json()


@pytest.mark.parametrize("content", [None, "no certificate at all"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = load_settings({"providers": {"openai": {"api_key": SECRET, "ca_file": str(file)}}})
    with pytest.raises(UpstreamSettingsError, match=r"providers\.openai\.ca_file"):
        build_upstreams(settings)


def test_a_proxy_is_for_https_and_spares_exempt_hosts() -> None:
    settings = load_settings(
        {
            "proxy": "http://127.0.0.1:3128",
            "no_proxy": [".intra.example", "127.0.0.1"],
            "providers": {
                "openai": {"api_key": SECRET},
                "own": {"base_url": "https://a.example", "proxy": "http://127.0.0.1:1"},
                "inside": {"base_url": "https://llm.intra.example"},
                "near": {"base_url": "https://127.0.0.1:8443"},
                "similar": {"base_url": "https://notintra.example"},
            },
        }
    )
    router = build_upstreams(settings)
    ports = {}
    for name in settings.providers:
        client = router._providers[name].client
        assert isinstance(client, HttpClient)
        proxy = client._settings.proxy
        ports[name] = proxy.port if proxy else None

    assert ports == {"openai": 3128, "own": 1, "inside": None, "near": None, "similar": 3128}
