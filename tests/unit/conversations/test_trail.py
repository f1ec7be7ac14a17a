"""The trail of a reply keeps its ids across a restart."""

from interlock.conversations.replies.model import RESULTS, Trail

_AT = "2026-01-01T00:00:00.000Z"


def _round(trail: Trail, after: list[str], number: int) -> list[str]:
    responder = trail.begin("responder", "demo", ["history", number], after, at=_AT)
    tool = trail.begin("tool", "math_evaluate", {"n": number}, [responder.id], at=_AT)
    return [trail.begin("reducer", RESULTS, [number], [tool.id], at=_AT).id]


def _whole(trail: Trail) -> list[str]:
    prompt = trail.begin("prompt", "context", "text", [], at=_AT)
    after = _round(trail, [prompt.id], 1)
    after = _round(trail, after, 2)
    trail.begin("responder", "demo", ["history", 3], after, at=_AT)
    return [one.id for one in trail.nodes]


def test_a_round_that_was_cut_off_is_taken_again_with_the_same_ids() -> None:
    whole = _whole(Trail(mode="auto"))
    for cut in range(len(whole) + 1):
        trail = Trail(mode="auto")
        _whole(trail)
        del trail.nodes[cut:]
        rounds = sum(one.name == RESULTS for one in trail.nodes)

        after = trail.resume(rounds)
        if not after:
            after = [trail.begin("prompt", "context", "text", [], at=_AT).id]
        for number in range(rounds + 1, 3):
            after = _round(trail, after, number)
        trail.begin("responder", "demo", ["history", 3], after, at=_AT)

        assert [one.id for one in trail.nodes] == whole


def test_nothing_runs_in_the_trail_of_a_reply_that_has_ended() -> None:
    trail = Trail(mode="auto")
    _whole(trail)

    running = [one["status"] for one in trail.told()["nodes"]]
    ended = trail.told(ended="timeout")["nodes"]

    assert set(running) == {"running"}
    assert {one["status"] for one in ended} == {"failed"}
    assert ended[-1]["error"] == {"code": "timeout"}
