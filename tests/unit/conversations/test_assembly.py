"""What an agent reads before it answers."""

from hypothesis import given
from hypothesis import strategies as st

from interlock.conversations.assembly import Assembled, Turn, assemble, estimate_tokens
from interlock.conversations.excerpts import excerpt, title_of


def _said(text: str, who: str = "ann", *, deleted: bool = False) -> Turn:
    return Turn(role="user", content=text, author_id=who, speaker=who.capitalize(), deleted=deleted)


def _answered(text: str) -> Turn:
    return Turn(role="assistant", content=text)


def _texts(made: Assembled) -> list[str]:
    return [turn.content for turn in made.turns]


def test_the_chain_follows_the_system_prompt() -> None:
    made = assemble([_said("a"), _answered("b"), _said("c")], system="be kind", budget=1000)

    assert [turn.role for turn in made.turns] == ["system", "user", "assistant", "user"]
    assert _texts(made) == ["be kind", "a", "b", "c"]


def test_deleted_messages_are_left_out() -> None:
    made = assemble([_said("a"), _said("gone", deleted=True), _said("c")], system=None, budget=99)

    assert _texts(made) == ["a", "c"]


def test_with_two_people_user_turns_say_who_speaks() -> None:
    made = assemble([_said("a"), _answered("b"), _said("c", "bob")], system=None, budget=1000)

    assert _texts(made) == ["Ann: a", "b", "Bob: c"]


def test_a_deleted_second_person_does_not_count() -> None:
    made = assemble([_said("a"), _said("c", "bob", deleted=True)], system=None, budget=1000)

    assert _texts(made) == ["a"]


def test_background_and_passages_are_marked_and_come_before_the_thread() -> None:
    made = assemble(
        [_said("now")],
        system="s",
        found=["a passage"],
        background=[_said("elsewhere", "bob"), _said("gone", deleted=True)],
        budget=1000,
    )

    assert [turn.role for turn in made.turns] == ["system", "system", "system", "user"]
    assert made.turns[1].content.startswith("[background: recent messages")
    assert "Bob: elsewhere" in made.turns[1].content
    assert "gone" not in made.turns[1].content
    assert "a passage" in made.turns[2].content


def test_too_long_keeps_prompt_root_and_newest_and_marks_the_cut() -> None:
    chain = [_said("root"), *(_answered("x" * 400) for _ in range(5)), _said("newest")]

    made = assemble(chain, system="prompt", budget=270)

    assert _texts(made)[:2] == ["prompt", "root"]
    assert made.turns[2].content == "[3 earlier messages of this thread were left out]"
    assert _texts(made)[-1] == "newest"
    assert made.left_out == 3


def test_background_gives_way_before_the_thread_does() -> None:
    made = assemble(
        [_said("a" * 400)], system=None, background=[_said("b" * 400), _said("c")], budget=140
    )

    assert made.left_out == 0
    assert made.background_left_out == 1
    assert made.turns[0].content.endswith("Ann: c")


@given(
    st.lists(st.text(max_size=200), min_size=1, max_size=12),
    st.integers(min_value=0, max_value=600),
)
def test_root_and_newest_stay_whatever_the_budget(texts: list[str], budget: int) -> None:
    made = assemble([_said(text) for text in texts], system="s", budget=budget)
    kept = [turn.content for turn in made.turns if turn.role == "user"]

    assert kept[0] == texts[0]
    assert kept[-1] == texts[-1]
    assert len(kept) + made.left_out == len(texts)


def test_tokens_are_four_characters_rounded_up() -> None:
    assert [estimate_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]


def test_an_excerpt_is_the_trimmed_beginning() -> None:
    assert excerpt("  hi  ") == "hi"
    assert len(excerpt("x" * 500)) == 240


def test_a_title_is_one_line_of_sixty_characters() -> None:
    assert title_of(" a\n b ") == "a b"
    assert len(title_of("word " * 40)) <= 60
