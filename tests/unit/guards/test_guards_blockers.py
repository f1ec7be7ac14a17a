"""URLs and file paths, plain and disguised."""
# ruff: noqa: RUF001 - look-alike characters are what these tests are about

from types import SimpleNamespace

import pytest

from interlock.policy.guards import Guards

URLS = Guards([], [SimpleNamespace(name="url_blocker")])
FILES = Guards([], [SimpleNamespace(name="file_blocker")])
BOTH = Guards([], [SimpleNamespace(name="url_blocker"), SimpleNamespace(name="file_blocker")])


@pytest.mark.parametrize(
    "text",
    [
        "https://a.com/x?y=1",
        "HTTP://A.COM",
        "hxxp://evil[.]com/a",
        "hxxps[:]//evil.com",
        "http:/\\evil.com/x",
        "https:evil.com",
        "//cdn.example.com/x.js",
        "www.foo.de",
        "example.com/path",
        "example.com:8443",
        "10.0.0.1:8080",
        "1.2.3.4/admin",
        "http://2130706433/",
        "http://[::1]/x",
        "localhost:3000/x",
        "ｈｔｔｐ：／／evil．com／a",
        "h\u200bttps://ev\u200bil.com",
        "https%3A%2F%2Fevil.com%2Fx",
        "https%253A%252F%252Fevil.com",
        "https:\u2215\u2215evil.com",
        "https&#58;&#47;&#47;evil.com",
        "https://例え.jp/あ",
        "ftp://x",
        "ws://host/socket",
        "custom+scheme://anything",
        "data:text/html;base64,AAAA",
        "javascript:alert(1)",
        "mailto:bob@example.com",
        "<https://a.com>",
        '"https://a.com"',
        " https://a.com\n",
    ],
)
def test_a_url_alone_is_blocked_and_its_call_denied(text: str) -> None:
    verdict = URLS.check_arguments("fetch", {"target": text})

    assert verdict.args["target"].strip("<>\"' \n") == "[BLOCKED:URL]"
    assert verdict.denied is not None
    assert (verdict.denied.level, verdict.denied.guard) == ("hard", "url_blocker")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("see https://a.com/x?y=1.", "see [BLOCKED:URL]."),
        ("user@evil.com/path", "user@[BLOCKED:URL]"),
        ("(https://a.com)", "([BLOCKED:URL])"),
        ("[link](https://x.io/a_(b)) end", "[link]([BLOCKED:URL]) end"),
        ("a http://x.com b http://y.com", "a [BLOCKED:URL] b [BLOCKED:URL]"),
        ('{"u":"https:\\/\\/x.com\\/a","v":1}', '{"u":"[BLOCKED:URL]","v":1}'),
        ("read example.com/path, ok", "read [BLOCKED:URL], ok"),
    ],
)
def test_a_url_in_a_text_is_replaced_and_the_rest_kept(text: str, want: str) -> None:
    assert URLS.check_result(text).value == want


@pytest.mark.parametrize(
    "text",
    [
        "visit example.com today",
        "http is a protocol: http: the web",
        "and/or e.g. 24/7 1.5/2 Inc./Ltd",
        "10.0.0.0/8",
        "main.py#L3",
        "node.js/express",
        "ratio 3:1, a.b.c, v1.2.3",
        "bob@example.com",
        "time 10:30",
        "// a comment",
        "C++ std::string",
        "note: remember",
    ],
)
def test_what_is_no_url_stays(text: str) -> None:
    assert URLS.check_result(text).value == text


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "/tmp",
        "/secret",
        "/home/bob",
        "file:///etc/passwd",
        "FILE:/etc",
        "file:etc/passwd",
        "C:\\Users\\bob\\x.txt",
        "C:\\Program Files\\App\\a.exe",
        "c:/temp/x",
        "\\\\server\\share\\f",
        "\\\\?\\C:\\x",
        "~/.ssh/id_rsa",
        "~root/x",
        "./run.sh",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2Fetc%2Fpasswd",
        "／etc／passwd",
        "/e\u200btc/pas\u200bswd",
        "src/main.py",
        "docs\\report.docx",
        "$HOME/x",
        "${HOME}/x",
        "%APPDATA%\\x",
        ".env",
        "id_rsa",
        "foo/../bar",
    ],
)
def test_a_path_alone_is_blocked_and_its_call_denied(text: str) -> None:
    verdict = FILES.check_arguments("read_file", {"path": text})

    assert verdict.args == {"path": "[BLOCKED:FILE]"}
    assert verdict.denied is not None
    assert (verdict.denied.level, verdict.denied.guard) == ("hard", "file_blocker")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("cat /etc/passwd now", "cat [BLOCKED:FILE] now"),
        ("cat x>/etc/cron.d/y", "cat x>[BLOCKED:FILE]"),
        ("path=/var/log/syslog, ok", "path=[BLOCKED:FILE], ok"),
        ("copy C:\\a\\b.txt to D:\\c", "copy [BLOCKED:FILE] to [BLOCKED:FILE]"),
        ('{"p": "C:\\\\Users\\\\x"}', '{"p": "[BLOCKED:FILE]"}'),
        ('{"p": "\\/etc\\/passwd"}', '{"p": "[BLOCKED:FILE]"}'),
        ("https://x.com/?f=/etc/passwd", "https://x.com/?f=[BLOCKED:FILE]"),
        ("edit src/app/main.py please", "edit [BLOCKED:FILE] please"),
    ],
)
def test_a_path_in_a_text_is_replaced_and_the_rest_kept(text: str, want: str) -> None:
    assert FILES.check_result(text).value == want


@pytest.mark.parametrize(
    "text",
    [
        "and/or 24/7 km/h TCP/IP he/she n/a w/o",
        "</div> <br/>",
        "use /help now",
        "https://x.com/etc/passwd",
        "2026/06/20",
        "application/json text/html",
        "report.pdf",
        "// comment here",
        "3/4 cup",
        "a:b c:d",
        "s/foo/bar/g",
        "file: report",
    ],
)
def test_what_is_no_path_stays(text: str) -> None:
    assert FILES.check_result(text).value == text


def test_member_names_are_looked_at_too() -> None:
    verdict = BOTH.check_arguments("t", {"map": {"https://a.com": 1, "http://b.com": 2}})

    assert verdict.args == {"map": {"[BLOCKED:URL]": 1, "[BLOCKED:URL]#2": 2}}
    assert verdict.denied is None


def test_a_lone_url_deep_inside_an_argument_denies_the_call() -> None:
    verdict = BOTH.check_arguments("t", {"o": {"list": ["ok", "https://a.com/x"]}})

    assert verdict.args == {"o": {"list": ["ok", "[BLOCKED:URL]"]}}
    assert verdict.denied is not None
    assert verdict.denied.reason == "argument `o.list[1]` is nothing but a URL"


def test_results_are_replaced_but_never_denied() -> None:
    verdict = BOTH.check_result({"link": "https://a.com", "path": "/etc/passwd"})

    assert verdict.value == {"link": "[BLOCKED:URL]", "path": "[BLOCKED:FILE]"}
    assert {hit.action for hit in verdict.hits} == {"block"}
