"""Patterns of limit assignments."""

import pytest

from interlock.limits.errors import InvalidAssignmentError, InvalidProfileError
from interlock.limits.matching import Matcher, clean_method, clean_path
from interlock.limits.model import Assignment, limit_of, scope_of


def _on(pattern: str, *, method: str = "GET", at: float = 0.0) -> Assignment:
    return Assignment(
        id=f"{method} {pattern} {at}",
        profile_id=pattern,
        profile_name=pattern,
        method=method,
        path_pattern=pattern,
        created_at=at,
        updated_at=at,
    )


@pytest.mark.parametrize(
    ("pattern", "path", "hit"),
    [
        ("/api/chat", "/api/chat", True),
        ("/api/chat", "/api/chat/", True),
        ("/api/chat", "/api/chats", False),
        ("/api/:thing/x", "/api/a/x", True),
        ("/api/{thing}/x", "/api/a/x", True),
        ("/api/*/x", "/api/a/x", True),
        ("/api/*/x", "/api/a/b/x", False),
        ("/api/admin/*", "/api/admin", True),
        ("/api/admin/*", "/api/admin/limits/profiles", True),
        ("/api/admin/*", "/api/administrators", False),
        ("/*", "/anything/at/all", True),
        ("/*", "/", True),
    ],
)
def test_a_pattern_matches_whole_segments(pattern: str, path: str, hit: bool) -> None:
    found = Matcher([_on(pattern)]).find("GET", path)

    assert (found is not None) is hit


@pytest.mark.parametrize(
    ("path", "best"),
    [
        ("/api/a/b", "/api/a/b"),
        ("/api/a/c", "/api/a/:id"),
        ("/api/x/b", "/api/:id/b"),
        ("/api/x/y", "/api/:a/:b"),
        ("/api/x/y/z", "/api/*/*"),
        ("/api/x", "/api/*/*"),
        ("/api", "/api/*"),
        ("/other", "/*"),
    ],
)
def test_the_most_specific_pattern_wins(path: str, best: str) -> None:
    patterns = ["/*", "/api/*", "/api/*/*", "/api/:a/:b", "/api/:id/b", "/api/a/:id", "/api/a/b"]

    found = Matcher([_on(one) for one in patterns]).find("GET", path)

    assert found is not None
    assert found.path_pattern == best


def test_of_equal_patterns_the_oldest_wins_and_methods_do_not_mix() -> None:
    matcher = Matcher([_on("/a/:x", at=2), _on("/a/:y", at=1), _on("/a/b", method="POST")])

    found = matcher.find("GET", "/a/b")

    assert found is not None
    assert found.path_pattern == "/a/:y"
    assert matcher.find("PUT", "/a/b") is None


@pytest.mark.parametrize("method", ["", "FETCH", "GET POST"])
def test_only_methods_there_are_can_be_limited(method: str) -> None:
    with pytest.raises(InvalidAssignmentError):
        clean_method(method)


def test_methods_and_paths_are_cleaned() -> None:
    assert (clean_method(" get "), clean_path("api/x ")) == ("GET", "/api/x")
    for bad in ("", "  ", "/a b", "/a\tb", "/" + "a" * 600):
        with pytest.raises(InvalidAssignmentError):
            clean_path(bad)


@pytest.mark.parametrize(
    ("algorithm", "params"),
    [
        ("gcra", {}),
        ("gcra", {"requests_per_second": 0}),
        ("gcra", {"requests_per_second": -1}),
        ("gcra", {"requests_per_second": "5"}),
        ("gcra", {"requests_per_second": True}),
        ("gcra", {"requests_per_second": float("nan")}),
        ("gcra", {"requests_per_second": 5, "burst": 0}),
        ("gcra", {"requests_per_second": 5, "brust": 2}),
        ("token_bucket", {"capacity": 5}),
        ("fixed_window", {"limit": 5}),
        ("fixed_window", {"limit": 0, "window_seconds": 60}),
        ("leaky", {"requests_per_second": 5}),
        ("gcra", {"requests_per_second": 5, "scope": "planet"}),
    ],
)
def test_parameters_that_are_no_limit_are_refused(
    algorithm: str, params: dict[str, object]
) -> None:
    with pytest.raises(InvalidProfileError):
        limit_of(algorithm, params)


def test_published_parameters_are_understood() -> None:
    assert limit_of("gcra", {"requests_per_second": 5}).amount == 1
    assert limit_of("gcra", {"requests_per_second": 5, "burst": 10}).period_s == 0.2
    assert limit_of("token_bucket", {"capacity": 9, "refill_per_second": 2}).amount == 9
    assert limit_of("token_bucket", {"requests_per_second": 2, "burst": 9}).period_s == 0.5
    assert limit_of("fixed_window", {"limit": 7, "window_seconds": 60}).amount == 7
    assert scope_of({"scope": "ip"}) == "ip"
