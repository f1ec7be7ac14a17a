from pathlib import Path
from typing import Any

import pytest

from interlock.app_settings import LoadedSettings, SettingsError, load_settings


def load(
    folder: Path, text: str = "", environ: dict[str, str] | None = None, **options: Any
) -> LoadedSettings:
    if text:
        (folder / "interlock.toml").write_text(text)
    return load_settings(data=folder, options=options, environ=environ or {})


def problems(folder: Path, text: str = "", environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(folder, text, environ)
    return list(caught.value.problems)


def sources(loaded: LoadedSettings) -> dict[str, tuple[Any, str]]:
    return {
        item.key: (item.value, item.source) for item in loaded.values() if item.source != "default"
    }


def test_nothing_said_means_defaults_and_a_database_in_the_data_directory(tmp_path: Path) -> None:
    loaded = load(tmp_path)

    assert sources(loaded) == {"data": (str(tmp_path), "option")}
    assert loaded.settings.database_url == f"sqlite:///{tmp_path / 'interlock.db'}"
    assert loaded.config_file is None


def test_later_sources_win_and_each_value_knows_its_own(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        '[server]\nhost = "0.0.0.0"\nport = 1\nidle_s = 5\n[limits]\nrequests_per_minute = 7\n',
        {"INTERLOCK_PORT": "2", "INTERLOCK_SERVER_IDLE_S": "6", "INTERLOCK_LOG_LEVEL": "debug"},
        **{"server.port": 3, "server.host": None},
    )

    assert sources(loaded) == {
        "data": (str(tmp_path), "option"),
        "server.host": ("0.0.0.0", "interlock.toml"),
        "server.port": (3, "option"),
        "server.idle_s": (6.0, "INTERLOCK_SERVER_IDLE_S"),
        "limits.requests_per_minute": (7, "interlock.toml"),
        "telemetry.log_level": ("debug", "INTERLOCK_LOG_LEVEL"),
    }


def test_every_mistake_is_reported_at_once_with_its_key_and_its_source(tmp_path: Path) -> None:
    text = """
        [server]
        port = 99999
        hots = "x"
        [gatway]
        tool_pinning = "deny"
        [providers.ollama]
        base_url = "not a url"
        bas_url = "x"
        [defaults]
        "chat/completions" = "nobody"
    """
    environ = {
        "INTERLOCK_PRT": "1",
        "INTERLOCK_LIMITS_REQUESTS_PER_MINUTE": "many",
        "INTERLOCK_GATEWAY_TOOL_PINNING": "maybe",
    }

    found = problems(tmp_path, text, environ)

    assert "INTERLOCK_PRT: unknown variable; did you mean `INTERLOCK_PORT`?" in found
    assert "interlock.toml: gatway: unknown key; did you mean `gateway`?" in found
    assert "interlock.toml: server.hots: unknown key; did you mean `host`?" in found
    text = "\n".join(found)
    assert "interlock.toml: server.port: input should be less than or equal to 65535" in text
    assert "interlock.toml: providers.ollama.base_url: must be an http or https URL" in text
    assert "interlock.toml: providers.ollama.bas_url: unknown key" in text
    assert "INTERLOCK_LIMITS_REQUESTS_PER_MINUTE: input should be a valid integer" in text
    assert "(sets `gateway.tool_pinning`)" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server\nport = 1", "not valid TOML"),
        ("server = 5", "server: input should be a valid dictionary"),
        ("limits.requests_per_minute = 0", "limits.requests_per_minute: input should be greater"),
        ("[limits]\nmonthly_cost = nan", "limits.monthly_cost"),
        ('[providers.x]\nkind = "openai"\napi_key = "a b"', "providers.x.api_key: must be"),
        ("providers = 1", "providers"),
        ('[providers]\nopenai = "x"', "providers.openai"),
    ],
)
def test_a_bad_file_is_refused_with_the_file_and_the_key(
    tmp_path: Path, text: str, told: str
) -> None:
    found = problems(tmp_path, text)

    assert told in "\n".join(found)
    assert "interlock.toml" in found[0]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_bytes(b"\xff\xfe")

    assert "not UTF-8" in problems(tmp_path)[0]


def test_a_named_file_must_exist_and_the_default_one_need_not(tmp_path: Path) -> None:
    load(tmp_path)
    for options in ({"config": tmp_path / "x.toml"}, {}):
        environ = {} if options else {"INTERLOCK_CONFIG": str(tmp_path / "x.toml")}
        with pytest.raises(SettingsError, match="there is no such file"):
            load_settings(data=tmp_path, environ=environ, **options)


def test_the_file_may_take_secrets_from_the_environment(tmp_path: Path) -> None:
    text = '[providers.ollama]\nbase_url = "http://h:1/v1"\napi_key = "${OLLAMA_KEY}"\n'
    loaded = load(tmp_path, text, {"OLLAMA_KEY": "secret-1"})

    key = loaded.settings.upstreams.providers["ollama"].api_key
    assert key is not None
    assert key.get_secret_value() == "secret-1"
    assert sources(loaded)["providers.ollama.api_key"] == (
        "[secret]",
        "interlock.toml ($OLLAMA_KEY)",
    )
    assert problems(tmp_path, text) == [
        "interlock.toml: providers.ollama.api_key: the variable `OLLAMA_KEY` is not set"
    ]


def test_who_calls_no_provider_needs_no_secrets_of_providers(tmp_path: Path) -> None:
    provider = '[providers.ollama]\nbase_url = "http://h:1/v1"\napi_key = "${OLLAMA_KEY}"\n'
    file = tmp_path / "interlock.toml"

    file.write_text(provider)
    loaded = load_settings(data=tmp_path, environ={}, calls_providers=False)
    assert sources(loaded)["providers.ollama.api_key"] == (
        "[secret]",
        "interlock.toml ($OLLAMA_KEY: not set)",
    )

    file.write_text(provider + '[store]\ndatabase_url = "${STORE}"\n')
    with pytest.raises(SettingsError, match="the variable `STORE` is not set"):
        load_settings(data=tmp_path, environ={}, calls_providers=False)


def test_provider_settings_may_come_from_variables(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        environ={
            "INTERLOCK_PROVIDERS_MY_OLLAMA_BASE_URL": "http://h:1/v1",
            "INTERLOCK_PROVIDERS_MY_OLLAMA_MODELS": "a, b",
            "ANTHROPIC_API_KEY": "sk-ant-1",
            "OPENAI_API_KEY": "",
        },
    )

    providers = loaded.settings.upstreams.providers
    assert providers["my_ollama"].models == ("a", "b")
    assert set(providers) == {"my_ollama", "anthropic"}
    assert sources(loaded)["providers.anthropic.api_key"] == ("[secret]", "ANTHROPIC_API_KEY")


def test_a_key_in_the_file_wins_over_the_usual_variable(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, '[providers.openai]\napi_key = "sk-file"\n', {"OPENAI_API_KEY": "sk-environment"}
    )

    key = loaded.settings.upstreams.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-file"


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert (
        load(tmp_path, environ={"INTERLOCK_DATABASE_URL": ""}).settings.store.database_url is None
    )


def test_policy_files_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[gateway]\npolicy_files = ["mail.sqrt", "/etc/base.sqrt"]\n')

    assert loaded.settings.gateway.policy_files == (tmp_path / "mail.sqrt", Path("/etc/base.sqrt"))


def test_no_secret_is_shown_nor_repeated_in_errors(tmp_path: Path) -> None:
    secrets = {
        "INTERLOCK_SECRET_KEY": "master-key-s3cret",
        "INTERLOCK_ADMIN_PASSWORD": "password-s3cret",
        "INTERLOCK_BOOTSTRAP_KEY": "bootstrap-s3cret",
        "INTERLOCK_DATABASE_URL": "postgresql://bob:s3cret@db/app",
        "INTERLOCK_TELEMETRY_OTLP_HEADERS": "authorization=s3cret",
        "OPENAI_API_KEY": "sk-s3cret",
    }
    text = '[providers.own]\nbase_url = "http://h/v1"\nheaders = {authorization = "s3cret"}\n'
    loaded = load(tmp_path, text, secrets)

    assert "s3cret" not in repr(loaded.values())
    assert "s3cret" not in repr(loaded)
    bad = secrets | {"OPENAI_API_KEY": "sk s3cret", "INTERLOCK_PORT": "x"}
    assert "s3cret" not in repr(problems(tmp_path, environ=bad))
