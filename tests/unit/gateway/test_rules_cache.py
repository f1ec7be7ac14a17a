"""Compiled rules follow the key, the header and the policies in effect."""

from collections.abc import Sequence
from dataclasses import replace

from interlock.gateway.config import PolicyConfig, SessionConfig
from interlock.gateway.rules import RulesCache, digest_of_source
from interlock.identity.model import KeyInfo
from interlock.policy.model import PolicySource, Session, ToolCall

KEY = KeyInfo(id="key_1", account_id="acc_1", user_id="u", user_email="ann@example.com", label="")
FINANCE = 'tool "pay" { hard deny when not "finance" in @caller.groups; }'
ALLOW = 'tool "pay" { hard allow always; }'


class Bound:
    """Policies that a test changes."""

    def __init__(self, *texts: str) -> None:
        self.number = 0
        self.texts = texts

    def version(self) -> int:
        return self.number

    def of(self, key: KeyInfo, surface: str) -> Sequence[PolicySource]:
        return [PolicySource(name=f"bound-{n}", text=text) for n, text in enumerate(self.texts)]


def verdict(cache: RulesCache, config: SessionConfig, key: KeyInfo) -> str:
    policy = cache.of(config, key).policy
    return policy.decide(ToolCall(tool="pay", args={}), Session()).verdict.value


def test_a_request_with_nothing_new_compiles_nothing() -> None:
    cache, config = RulesCache(Bound(FINANCE)), SessionConfig()

    assert cache.of(config, KEY) is cache.of(config, replace(KEY))


def test_a_key_whose_groups_or_override_change_gets_other_rules() -> None:
    cache = RulesCache(Bound(FINANCE))
    config = SessionConfig(policy=PolicyConfig(code=ALLOW))

    assert verdict(cache, config, KEY) == "hard_denied"
    assert verdict(cache, config, replace(KEY, groups=frozenset({"finance"}))) == "hard_allowed"
    assert verdict(cache, config, replace(KEY, policy_override=True)) == "hard_allowed"
    assert verdict(cache, config, KEY) == "hard_denied"


def test_a_change_of_the_policies_in_effect_is_met_by_the_next_request() -> None:
    bound = Bound()
    cache, config = RulesCache(bound), SessionConfig()
    assert verdict(cache, config, KEY) == "soft_allowed"

    bound.texts, bound.number = (FINANCE,), 1

    assert verdict(cache, config, KEY) == "hard_denied"


def test_rules_say_what_decisions_are_made_under() -> None:
    cache = RulesCache(Bound(FINANCE))
    config = SessionConfig(policy=PolicyConfig(code=ALLOW, mode="strict"))
    rules = cache.of(config, replace(KEY, roles=frozenset({"owner", "admin"})))

    assert rules.header == PolicySource(name="X-Policy", text=ALLOW)
    assert rules.basis == {
        "bound": ["bound-0"],
        "header": digest_of_source(PolicySource(name="any", text=ALLOW)),
        "override": False,
        "mode": "strict",
        "presets": {},
    }
    assert rules.caller == {
        "user": "ann@example.com",
        "key": "key_1",
        "account": "acc_1",
        "groups": [],
        "roles": ["admin", "owner"],
        "surface": "control",
    }


def test_the_cache_holds_so_much_policy_text_and_the_oldest_goes() -> None:
    cache = RulesCache(Bound(), max_chars=3 * len(ALLOW))
    configs = [SessionConfig(policy=PolicyConfig(code=ALLOW)) for _ in range(4)]
    first, second, third = (cache.of(config, KEY) for config in configs[:3])
    assert cache.of(configs[0], KEY) is first

    cache.of(configs[3], KEY)

    assert cache.of(configs[0], KEY) is first
    assert cache.of(configs[2], KEY) is third
    assert cache.of(configs[1], KEY) is not second
