"""A key stays inside its providers."""

import pytest

from interlock.gateway.scopes import ProviderForbiddenError, permitted
from interlock.identity.model import KeyInfo
from interlock.providers.model import Route, Target


def _target(provider: str) -> Target:
    return Target(provider=provider, deployment=provider, model="m", formats=("chat",))


def _key(*scopes: str) -> KeyInfo:
    return KeyInfo(
        id="k", account_id="a", user_id="u", user_email="e", label="l", scopes=frozenset(scopes)
    )


ROUTE = Route(
    provider="alias", model="fast", groups=((_target("a"), _target("b")), (_target("c"),))
)


def test_an_alias_does_not_lead_past_the_scopes_of_a_key() -> None:
    route = permitted(ROUTE, _key("provider:b", "endpoint:chat"))

    assert route.groups == ((_target("b"),),)


def test_a_key_without_provider_scopes_may_use_every_target() -> None:
    assert permitted(ROUTE, _key("endpoint:chat")) is ROUTE
    assert permitted(ROUTE, _key()) is ROUTE


def test_nothing_left_is_forbidden() -> None:
    with pytest.raises(ProviderForbiddenError, match="fast"):
        permitted(ROUTE, _key("provider:z"))
