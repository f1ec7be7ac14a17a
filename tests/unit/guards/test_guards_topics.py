"""Abuse, health and finance: scores, tags, denials, notices."""
# ruff: noqa: RUF001 - look-alike characters are what these tests are about

from types import SimpleNamespace

import pytest

from interlock.policy.guards import Guards, notice


def guards(name: str, threshold: float = 0.5) -> Guards:
    return Guards([SimpleNamespace(name=name, threshold=threshold, mode=None)])


@pytest.mark.parametrize(
    "text",
    [
        "you are an idiot",
        "I will kill you",
        "kill yourself",
        "k i l l yourself",
        "you stuuupid b1tch",
        "f u c k you",
        "ｙｏｕ ａｒｅ ａｎ ｉｄｉｏｔ",
        "you\u200b are an id\u200biot",
        "we know where you live",
    ],
)
def test_abuse_in_an_argument_denies_the_call_softly(text: str) -> None:
    verdict = guards("toxicity_filter").check_arguments("post", {"body": text})

    assert verdict.denied is not None
    assert (verdict.denied.level, verdict.denied.guard) == ("soft", "toxicity_filter")
    assert verdict.arg_tags == {"body": frozenset({"toxicity"})}
    assert verdict.args == {"body": text}


@pytest.mark.parametrize(
    "text",
    [
        "kill the process with kill -9 1234 and shut it down",
        "please execute the child task",
        "Scunthorpe and Essex assess the class",
        "I hate waiting, damn",
        "the price is 100$ and 1000 more",
        "Hello, thank you for your help!",
    ],
)
def test_rough_words_about_things_are_no_abuse(text: str) -> None:
    assert guards("toxicity_filter").check_arguments("post", {"body": text}).denied is None


def test_an_abusive_result_is_blanked_or_only_tagged() -> None:
    guard = guards("toxicity_filter")
    value = {"posts": ["hello", "you are a worthless idiot"]}

    blanked = guard.check_result(value)
    tagged = guard.check_result(value, replace_toxic=False)

    assert blanked.value == {"posts": ["hello", "[BLOCKED: toxicity_filter]"]}
    assert (blanked.tags, blanked.changed) == (frozenset({"toxicity"}), True)
    assert (tagged.value, tagged.changed) == (value, False)
    assert tagged.tags == frozenset({"toxicity"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("healthcare", "You should take 400 mg ibuprofen twice daily."),
        ("healthcare", "Stop taking your insulin, you have diabetes."),
        ("healthcare", "I recommend that you double your dose of the antibiotic."),
        ("healthcare", "Take two tablets of paracetamol."),
        ("finance", "You should buy Apple stock now."),
        ("finance", "I recommend investing in index funds."),
        ("finance", "Put all your savings into bitcoin, guaranteed returns!"),
        ("finance", "Sell your shares of ACME, buy bonds today; invest in ETFs."),
    ],
)
def test_advice_is_denied_softly(name: str, text: str) -> None:
    verdict = guards(f"{name}_topic_guardrail").check_arguments("send", {"body": text})

    assert verdict.denied is not None
    assert verdict.denied.level == "soft"
    assert verdict.denied.reason == f"argument `body` gives {name} advice"
    assert verdict.tags == frozenset({name})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("healthcare", "Insulin is a hormone; diabetes is treated with it."),
        ("healthcare", "The patient reported symptoms of pneumonia."),
        ("finance", "The fund invests in stocks and bonds; dividends are paid yearly."),
    ],
)
def test_information_is_tagged_and_let_through(name: str, text: str) -> None:
    verdict = guards(f"{name}_topic_guardrail").check_arguments("send", {"body": text})

    assert (verdict.denied, verdict.tags) == (None, frozenset({name}))


@pytest.mark.parametrize(
    "text",
    ["Please send the health report to Bob.", "Book the flight to Paris.", "Take the bus daily."],
)
def test_other_texts_carry_no_topic(text: str) -> None:
    both = Guards(
        [
            SimpleNamespace(name=f"{topic}_topic_guardrail", threshold=0.5, mode=None)
            for topic in ("healthcare", "finance")
        ]
    )

    assert both.check_arguments("t", {"x": text}).tags == frozenset()


def test_a_single_mention_in_a_long_report_stays_a_mention() -> None:
    text = "All is well in the factory. " * 200 + "One doctor came. " + "Work goes on. " * 200

    assert guards("healthcare_topic_guardrail").check_result(text).tags == frozenset()


def test_results_never_deny_but_their_tags_ask_for_a_notice() -> None:
    verdict = guards("healthcare_topic_guardrail").check_result("You should take 400 mg ibuprofen.")

    assert verdict.tags == frozenset({"healthcare"})
    line = notice(verdict.tags)
    assert line is not None
    assert "not medical advice" in line
    assert "\n" not in line


def test_no_topic_tag_no_notice() -> None:
    assert notice({"pii", "toxicity"}) is None
    both = notice({"finance", "healthcare"})
    assert both is not None
    assert "financial advice" in both
    assert "medical advice" in both
