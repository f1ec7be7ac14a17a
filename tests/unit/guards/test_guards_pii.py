"""What counts as personal data, and what only looks like it."""
# ruff: noqa: RUF001 - look-alike characters are what these tests are about

from types import SimpleNamespace

import pytest

from interlock.policy.guards import Guards


def guards(mode: str | None = None, threshold: float = 0.5) -> Guards:
    return Guards([SimpleNamespace(name="pii_redaction", threshold=threshold, mode=mode)])


def redacted(text: str, mode: str | None = None) -> str:
    return str(guards(mode).check_result(text).value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("mail bob@example.com now", "mail [REDACTED:EMAIL] now"),
        ("a.b+c@sub.example.co.uk", "[REDACTED:EMAIL]"),
        ("bob@corp.local", "[REDACTED:EMAIL]"),
        ("'bob@example.com'", "'[REDACTED:EMAIL]'"),
        ("jörg@müller.de schrieb", "[REDACTED:EMAIL] schrieb"),
        ("bob [at] example [dot] com", "[REDACTED:EMAIL]"),
        ("john at example dot com", "[REDACTED:EMAIL]"),
        ("bob%40example.com", "[REDACTED:EMAIL]"),
        ("bob&#64;example.com", "[REDACTED:EMAIL]"),
        ("bob\u200b@exa\u00admple.com", "[REDACTED:EMAIL]"),
        ("ｂｏｂ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[REDACTED:EMAIL]"),
        ("call +49 30 12345678 today", "call [REDACTED:PHONE] today"),
        ("+1 (650) 253-0000", "[REDACTED:PHONE]"),
        ("(650) 253-0000 or 212-555-0199", "[REDACTED:PHONE] or [REDACTED:PHONE]"),
        ("phone: 6502530000", "phone: [REDACTED:PHONE]"),
        ("Tel. 030 12345678", "Tel. [REDACTED:PHONE]"),
        ("0033 1 42 68 53 00", "[REDACTED:PHONE]"),
        ("4111 1111 1111 1111", "[REDACTED:CREDIT_CARD]"),
        ("4111-1111-1111-1111 12/26", "[REDACTED:CREDIT_CARD] 12/26"),
        ("378282246310005", "[REDACTED:CREDIT_CARD]"),
        ("４１１１ １１１１ １１１１ １１１１", "[REDACTED:CREDIT_CARD]"),
        ("4111\u200b1111\u200b1111\u200b1111", "[REDACTED:CREDIT_CARD]"),
        ("٤١١١ ١١١١ ١١١١ ١١١١", "[REDACTED:CREDIT_CARD]"),
        ("cvv: 123", "cvv: [REDACTED:CARD_CODE]"),
        ("pay DE89 3704 0044 0532 0130 00 now", "pay [REDACTED:IBAN] now"),
        ("GB82WEST12345698765432", "[REDACTED:IBAN]"),
        ("account number: 12345678", "account number: [REDACTED:BANK_ACCOUNT]"),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "[REDACTED:CRYPTO_WALLET]"),
        ("SSN 536-90-4399", "SSN [REDACTED:SSN]"),
        ("social security number 536904399", "social security number [REDACTED:SSN]"),
        ("CPF 390.533.447-05", "CPF [REDACTED:TAX_ID]"),
        ("RSSMRA85T10A562S", "[REDACTED:NATIONAL_ID]"),
        ("DNI 12345678Z", "DNI [REDACTED:NATIONAL_ID]"),
        ("nino AB 12 34 56 C", "nino [REDACTED:NATIONAL_ID]"),
        ("756.9217.0769.85", "[REDACTED:NATIONAL_ID]"),
        ("PESEL 44051401359", "PESEL [REDACTED:NATIONAL_ID]"),
        ("NHS number 943 476 5919", "NHS number [REDACTED:NATIONAL_ID]"),
        ("11010519491231002X", "[REDACTED:NATIONAL_ID]"),
        ("passport no: C01X00T47", "passport no: [REDACTED:PASSPORT]"),
        (
            "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
            "[REDACTED:PASSPORT]",
        ),
        ("driver's license number D1234567", "driver's license number [REDACTED:DRIVER_LICENSE]"),
        ("born on 12.03.1980", "born on [REDACTED:DATE_OF_BIRTH]"),
        ('"dob": "1980-03-12"', '"dob": "[REDACTED:DATE_OF_BIRTH]"'),
        ("lives at 12 Main Street, Apt 4", "lives at [REDACTED:ADDRESS]"),
        ("Lindenstraße 12, 10969 Berlin", "[REDACTED:ADDRESS]"),
        ("from 8.8.8.8", "from [REDACTED:IP_ADDRESS]"),
        ("2a00:1450:4001:81b::200e", "[REDACTED:IP_ADDRESS]"),
        ("00:1B:44:11:3A:B7", "[REDACTED:MAC_ADDRESS]"),
        ("AKIAIOSFODNN7EXAMPLE", "[REDACTED:API_KEY]"),
        ("key sk-proj-abc123def456ghi789jkl", "key [REDACTED:API_KEY]"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[REDACTED:API_KEY]"),
        ("xoxb-123456789012-abcdefABCDEF", "[REDACTED:API_KEY]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "[REDACTED:TOKEN]"),
        ("Authorization: Bearer abcDEF123456ghiJKL789", "Authorization: Bearer [REDACTED:TOKEN]"),
        ("password=hunter22 ok", "password=[REDACTED:SECRET] ok"),
        ('{"client_secret": "aB3dE5fG"}', '{"client_secret": "[REDACTED:SECRET]"}'),
        ("postgres://u:s3cret@h/db", "postgres://u:[REDACTED:PASSWORD]@h/db"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\n-----END RSA PRIVATE KEY----- end",
            "[REDACTED:PRIVATE_KEY] end",
        ),
        ('{"mail": "bob\\u0040example.com"}', '{"mail": "[REDACTED:EMAIL]"}'),
        ('{"a": "x\\nbob@example.com\\n"}', '{"a": "x\\n[REDACTED:EMAIL]\\n"}'),
    ],
)
def test_personal_data_is_replaced_by_its_type(text: str, want: str) -> None:
    assert redacted(text) == want


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello world, nothing here.",
        "order 1234567890123456",
        "4111 1111 1111 1112",
        "on 2026-06-20 at 10:30, 3.14159265358979",
        "2026-06-20T10:00:00Z",
        "released 20.06.2026, version 1.2.3.4",
        "timestamp 1760000000000",
        "uuid 0f6c1c9e-6c56-11f0-9d2a-8b7f4f1f2a10",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "127.0.0.1 and ::1 and 192.168.0.1",
        "call me maybe, 42 times",
        "git@github.com:org/repo.git",
        "logo@2x.png",
        "GB82WEST12345698765433",
        "000-12-3456 666-12-3456",
        "the password is wrong",
        "password: ********",
        "api_key=YOUR",
        "sk-learn-compatible-estimator-class",
        "std::vector and a::b",
        "10:20:30 12:30",
        "1,234,567.89 EUR",
        "ISBN 978-3-16-148410-0",
        "the 12 Main points",
        "@mention and #tag",
        "room 12345678",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_lower_threshold_catches_weaker_evidence() -> None:
    text = "host 192.168.1.20"

    assert redacted(text) == text
    assert redacted(text, "high sensitivity") == "host [REDACTED:IP_ADDRESS]"
    assert redacted("mail bob@example.com, 8.8.8.8", "low sensitivity") == (
        "mail [REDACTED:EMAIL], 8.8.8.8"
    )


def test_the_member_name_tells_what_a_bare_number_is() -> None:
    verdict = guards().check_arguments(
        "t",
        {
            "ssn": "536904399",
            "phone_number": 6502530000,
            "db": {"password": "correcthorse"},
            "count": 536904399,
        },
    )

    assert verdict.args == {
        "ssn": "[REDACTED:SSN]",
        "phone_number": "[REDACTED:PHONE]",
        "db": {"password": "[REDACTED:SECRET]"},
        "count": 536904399,
    }


def test_a_card_stored_as_a_number_is_redacted() -> None:
    verdict = guards().check_arguments("t", {"x": [4111111111111111, 4111111111111111.0, 12]})

    assert verdict.args == {"x": ["[REDACTED:CREDIT_CARD]", "[REDACTED:CREDIT_CARD]", 12]}


def test_more_addresses_than_are_looked_up_one_by_one_are_all_redacted() -> None:
    text = " ".join(f"u{n}@example.com" for n in range(3_000))

    assert set(redacted(text).split()) == {"[REDACTED:EMAIL]"}


def test_a_card_behind_a_flood_of_numbers_is_still_found() -> None:
    flood = "7 x " * 12_000

    assert "4111" not in redacted(flood + "4111 1111 1111 1111")
